"""Run programs on inputs and targets, guarded and proved against the model."""
