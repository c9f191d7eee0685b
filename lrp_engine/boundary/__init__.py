"""What comes from outside: files, and code of the user's that the engine calls."""
