"""What is believed of links: estimates with their uncertainty, kept from samples, for thousands of links at once."""
