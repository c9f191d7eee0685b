"""Plan in, joint graph out: the rules write relevance behind the forward graph."""
