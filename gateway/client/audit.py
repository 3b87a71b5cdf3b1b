"""The audit log through the API (admins only)."""

from collections.abc import Iterator
from typing import TypedDict

from gateway.client.collection import Collection, body_of


class AuditRecord(TypedDict):
    """One deed: who did what to what, and what came of it."""

    seq: int
    at_ms: int
    actor: str
    action: str
    subject: str
    result: str
    digest: str


class AuditCheckpoint(TypedDict):
    """The gateway's signed word that record ``seq`` was the newest, and which digest it had."""

    seq: int
    at_ms: int
    digest: str
    signature: str


class Audit(Collection[AuditRecord]):
    """Who did what."""

    def checkpoints(self) -> Iterator[AuditCheckpoint]:
        """Yield the signed ends of the log, oldest first."""
        return Collection[AuditCheckpoint](self._wire, f"{self._path}/checkpoints").list()

    def sign(self) -> AuditCheckpoint:
        """Have the gateway sign where the log ends now, and return that."""
        return body_of(self._wire.call("POST", f"{self._path}/checkpoints", body={}), self._wire)
