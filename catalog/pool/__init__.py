"""Pools: machines created ahead of time, so that a tenant who asks does not wait (S2)."""
