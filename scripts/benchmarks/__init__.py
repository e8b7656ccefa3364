"""Measurements. Every figure is set beside something measured in the same run, so that the machine cancels out.

A module per subject; each has functions that take a `Lab` and give `Result`s. main.py names the rows.
"""
