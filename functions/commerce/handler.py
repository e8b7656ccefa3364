"""Lambda entry of category commerce."""

from shared.jobs.entry import entry

main = entry("commerce")
