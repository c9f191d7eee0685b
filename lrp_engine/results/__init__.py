"""Hold the results of explanations; show them and store them."""
