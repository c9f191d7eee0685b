"""Draw circuits: as a figure and as a page."""
