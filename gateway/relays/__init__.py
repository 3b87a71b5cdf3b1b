"""Relays as hosts to be cared for: their accounts, what they permit, their keys, and what is wrong with them."""
