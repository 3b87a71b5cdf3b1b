"""Ways to reach a platform's connector."""
