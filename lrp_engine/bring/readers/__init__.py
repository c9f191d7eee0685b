"""Readers: data of one kind in, batches that a model takes out."""
