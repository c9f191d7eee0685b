"""Joint graph and cut in, executable forward and relevance programs out."""
