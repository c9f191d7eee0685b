"""Show relevance as figures and HTML."""
