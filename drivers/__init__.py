"""Speak to everything we did not write: clouds, queues, platforms."""
