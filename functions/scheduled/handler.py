"""Lambda entry of category scheduled."""

from shared.jobs.entry import entry

main = entry("scheduled")
