"""The command line ``crossway``: one file per noun, everything over the HTTP API.

It must start fast, so nothing here imports more than typer, the standard library and ``gateway.client``; what a
command needs beyond that it imports when it runs.
"""
