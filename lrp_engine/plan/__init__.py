"""Plan relevance: assign a rule of a preset to every live op of a captured model."""
