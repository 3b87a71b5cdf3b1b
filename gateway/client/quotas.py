"""Quotas through the API."""

from collections.abc import Mapping
from typing import TypedDict

from gateway.client.collection import Collection
from gateway.client.resources import Resource


class Held(TypedDict):
    """What is held now; None: of some machine it is not known."""

    machines: int
    cores: float | None
    memory_gib: float | None
    volumes: int
    volume_gib: int
    snapshots: int
    containers: int
    zones: int
    records: int
    balancers: int


class Quota(Resource):
    """The limits of a project or organisation, None where there is none, and what is used of them."""

    kind: str
    reference: str
    machines: int | None
    cores: int | None
    memory_gib: int | None
    volumes: int | None
    volume_gib: int | None
    snapshots: int | None
    containers: int | None
    zones: int | None
    records: int | None
    balancers: int | None
    used: Held


class Quotas(Collection[Quota]):
    """Each is called by its holder: ORGANISATION/PROJECT, an organisation's name, or an id of either."""

    def set(self, key: str, limits: Mapping[str, int | None], *, if_match: str | None = None) -> Quota:
        """Change the limits that are named (such as ``machines`` or ``volume_gib``); None takes one away."""
        return self._change("PATCH", key, body=limits, if_match=if_match)
