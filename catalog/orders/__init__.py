"""A tenant's order, from placing it to its machine or the reason why there is none."""
