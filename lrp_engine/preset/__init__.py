"""Presets: ordered rows that choose a rule for each op."""
