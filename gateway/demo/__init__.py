"""The demo: a small world of relays, links and clouds in which the product shows what it does."""
