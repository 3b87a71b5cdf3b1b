"""Webhooks through the API."""

from collections.abc import Iterator
from typing import TypedDict

from gateway.client.collection import Collection, body_of, given


class Webhook(TypedDict):
    """A receiver of one's events."""

    id: str
    version: int
    url: str
    kind: str | None
    state: str
    reason: str
    read_upto: int
    failing_since: str | None


class NewWebhook(Webhook):
    """A webhook with its secret, shown once."""

    signing_secret: str | None


class Delivery(TypedDict):
    """One event told to a webhook."""

    id: int
    seq: int
    kind: str
    state: str
    attempts: int
    status: int | None
    took_ms: float | None
    reason: str
    tried_at: str | None
    due_at: str | None


class Webhooks(Collection[Webhook]):
    """The caller's webhooks."""

    def create(self, url: str, *, kind: str | None = None) -> NewWebhook:
        """Have what happens told to ``url``, from now on; the answer holds the secret."""
        return body_of(self._wire.call("POST", self._path, body=given(url=url, kind=kind)), self._wire)

    def remove(self, key: str) -> None:
        """Delete it and its delivery log."""
        self._remove(key)

    def enable(self, key: str) -> Webhook:
        """Tell a disabled one again, from where it was left."""
        return self._act(key, "enable")

    def rotate(self, key: str) -> NewWebhook:
        """Change the secret; the answer holds the new one, the old one signs too for a day."""
        return self._obtain(key, "secret")

    def deliveries(self, key: str, *, state: str | None = None) -> Iterator[Delivery]:
        """Yield what was told and how that went, newest first."""
        return Collection[Delivery](self._wire, self._at(key, "deliveries")).list(state=state)

    def replay(self, key: str, *, delivery: int | None = None, since: int | None = None) -> int:
        """Tell one delivery, or everything since an event, once more; return how many deliveries are renewed."""
        told: dict[str, int] = self._obtain(key, "replay", body=given(delivery=delivery, since=since))
        return told["renewed"]
