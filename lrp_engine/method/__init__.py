"""Define the vocabulary of the method: op records, rules, calls, registry, R = c * a."""
