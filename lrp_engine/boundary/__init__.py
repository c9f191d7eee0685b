"""Read files from outside, and call code of the user's that the engine is given."""
