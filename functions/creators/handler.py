"""Lambda entry of category creators."""

from shared.jobs.entry import entry

main = entry("creators")
