"""Read, trace and walk fx graphs; nothing here knows of relevance."""
