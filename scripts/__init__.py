"""Tools for one machine: the two commands and what they stand on."""
