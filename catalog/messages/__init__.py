"""Versioned, frozen messages between the applications, and the default queue."""
