"""Clouds, reached through libcloud and the platform's own tunnel, and by no other way."""
