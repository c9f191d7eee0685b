"""Turn a joint graph and a cut into executable forward and relevance programs."""
