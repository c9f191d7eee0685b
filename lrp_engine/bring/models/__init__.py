"""Open models, one file per kind."""
