"""Write relevance behind the forward graph: turn a plan into a joint graph."""
