"""Parity with zennit, by numbers recorded from it."""
