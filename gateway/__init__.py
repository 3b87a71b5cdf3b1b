"""The front door: HTTP in, connections, background work, settings, composition."""
