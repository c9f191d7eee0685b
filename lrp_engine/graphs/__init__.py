"""Tools for fx graphs that know nothing of relevance."""
