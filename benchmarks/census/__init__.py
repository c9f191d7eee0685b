"""A census of model classes: which of transformers and timm are built, captured and conserved."""
