"""Passages through the API: native sessions at platforms, opened, looked at and closed."""

from collections.abc import Iterator
from typing import TypedDict

from gateway.client.collection import Collection, body_of, given


class Passage(TypedDict):
    """A passage, open or ended."""

    id: str
    version: int
    created_at: str
    updated_at: str
    platform: str
    connection: str
    principal: str
    principal_name: str
    kind: str
    purpose: str
    opened_at: str
    expires_at: str
    ended_at: str | None
    end_reason: str
    calls: int
    bytes_in: int
    bytes_out: int


class NewPassage(Passage):
    """A passage with the variables for the platform's own clients, which hold its secret."""

    environment: dict[str, str] | None


class PassageCall(TypedDict):
    """One call in a passage."""

    what: str
    capability: str
    refused: bool
    status: int | None
    at: str


class Passages(Collection[Passage]):
    """Native sessions at platforms."""

    def open(self, platform: str, *, purpose: str, gateway_url: str, ttl_s: float | None = None) -> NewPassage:
        """Open one; ``gateway_url`` is this gateway as the platform's own clients shall reach it."""
        body = given(platform=platform, purpose=purpose, gateway_url=gateway_url, ttl_s=ttl_s)
        return body_of(self._wire.call("POST", self._path, body=body), self._wire)

    def calls(self, key: str) -> Iterator[PassageCall]:
        """Yield what was called in it, newest first."""
        return Collection[PassageCall](self._wire, self._at(key, "calls")).list()

    def close(self, key: str) -> None:
        """End it, and cut what runs in it."""
        self._remove(key)
