"""Letting people in: passwords off the loop, throttling, sessions, and identity providers."""
