"""Slow, readable float64 references that the library's results are compared against."""
