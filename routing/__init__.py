"""Get from here to there: enumerate, probe, rank and tunnel; know nothing of what is at the other end."""
