"""Orders that others must approve: rules, questions, and who may answer them."""
