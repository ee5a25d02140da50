"""Scheduled work: one job a file, found by its name `JOB`."""
