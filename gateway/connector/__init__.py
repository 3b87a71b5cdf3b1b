"""The platform owner's side of the handshake: ``crossway connector`` runs here, beside the cloud it speaks for.

A process of its own, with its own TOML file, key and state; it knows nothing of routes, the catalog or the gateway's
database, and answers only the one gateway whose public key stands in its file.
"""

from gateway.connector.commands import answer, list_pending, main, public_key, serve

__all__ = ["answer", "list_pending", "main", "public_key", "serve"]
