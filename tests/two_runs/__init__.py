"""Rules of two runs, and what is built on them."""
