"""Functions of the kernel itself, with schedules of their own; no jobs."""
