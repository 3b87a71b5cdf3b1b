"""Machines are lent: until when, who may have them for longer, and what happens at the end."""
