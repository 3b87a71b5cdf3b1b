"""Budgets and costs through the API."""

from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import quote

from gateway.client.collection import Collection, body_of
from gateway.client.resources import Resource
from gateway.client.wire import Wire


class Budget(Resource):
    """A budget by the month, and how it stands now; amounts are exact decimal text."""

    kind: str
    reference: str
    amount: str
    currency: str
    alert_ratios: list[float]
    stops_orders: bool
    stops_machines: bool
    unknown_hourly: str | None
    month: str
    spent: str
    forecast: str
    is_complete: bool


class MonthCost(TypedDict):
    """What machines cost in a month, by currency; ``unknown_hours`` have no price and are in none of them."""

    id: str
    kind: str
    reference: str
    month: str
    costs: list[dict[str, Any]]
    unknown_hours: float


class Budgets(Collection[Budget]):
    """Each is called by its holder: ORGANISATION/PROJECT, an organisation's name, or an id of either."""

    def set(self, key: str, changes: Mapping[str, object], *, if_match: str | None = None) -> Budget:
        """Set what is named; a first budget needs ``amount`` and ``currency``."""
        # A first budget has no version yet that could be read.
        return self._change("PATCH", key, body=changes, if_match=if_match or "*")

    def remove(self, key: str) -> None:
        """Remove a budget."""
        self._remove(key)


class Costs:
    """What machines cost."""

    def __init__(self, wire: Wire) -> None:
        """Ask over ``wire``."""
        self._wire = wire

    def get(self, key: str, *, month: str | None = None) -> MonthCost:
        """Return what the machines of a project or organisation cost in ``month`` (``2026-11``; None: this one)."""
        query: dict[str, str | int] = {} if month is None else {"month": month}
        return body_of(self._wire.call("GET", f"/v1/costs/{quote(key, safe='')}", query=query), self._wire)
