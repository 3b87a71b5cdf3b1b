"""When machines run: windows by the wall clock of a place, and what follows from them at each edge."""
