"""The HTTP API: one file per resource, everything else derived from how an endpoint is declared."""
