"""Captured model and preset in, plan out: which rule serves which op."""
