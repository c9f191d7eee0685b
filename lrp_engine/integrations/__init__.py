"""Stand in for explainers of other libraries, with their call signatures and shapes."""
