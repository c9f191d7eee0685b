"""Every op and rule of `rules/`, against slow definitions of their own."""
