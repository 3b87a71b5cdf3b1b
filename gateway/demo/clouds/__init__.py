"""The demo's clouds: programs that run in a network of their own and are reached through tunnels."""
