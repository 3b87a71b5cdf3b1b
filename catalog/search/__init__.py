"""Find what can be ordered: filters, facets, and a ranking whose every term is told."""
