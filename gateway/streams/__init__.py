"""Streams between a local program and a gateway: the words on the wire, and the doors that local programs use."""
