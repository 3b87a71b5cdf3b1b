"""The second application of S4: it turns messages into machines, exactly one for each, and keeps its own tables."""
