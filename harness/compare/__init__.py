"""Runs beside each other: which numbers may be compared, which differ, which miss a limit."""
