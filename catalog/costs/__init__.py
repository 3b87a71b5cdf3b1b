"""What machines cost, by the price of their orders and the time they were there, and what they may cost."""
