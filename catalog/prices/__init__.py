"""What things cost: a dated book that admins fill. What is not in it is unknown, which is not 0."""
