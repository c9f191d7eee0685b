"""Choose a rule for each op by the ordered rows of a preset."""
