"""Message queues that are programs of their own."""
