"""Small versions of many architectures, with random weights, on which every promise is tested."""
