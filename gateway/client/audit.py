"""The audit log through the API (admins only)."""

from collections.abc import Iterator

from gateway.client.collection import Collection, body_of
from gateway.client.resources import AuditCheckpoint, AuditRecord


class Audit(Collection[AuditRecord]):
    """Who did what."""

    def checkpoints(self) -> Iterator[AuditCheckpoint]:
        """Yield the signed ends of the log, oldest first."""
        return Collection[AuditCheckpoint](self._wire, f"{self._path}/checkpoints").list()

    def sign(self) -> AuditCheckpoint:
        """Have the gateway sign where the log ends now, and return that."""
        return body_of(self._wire.call("POST", f"{self._path}/checkpoints", body={}), self._wire)
