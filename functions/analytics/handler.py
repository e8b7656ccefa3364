"""Lambda entry of category analytics."""

from shared.jobs.entry import entry

main = entry("analytics")
