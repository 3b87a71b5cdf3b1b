"""The only place with queries: one file per aggregate."""
