"""Rules for leases through the API."""

from collections.abc import Mapping

from gateway.client.collection import Collection
from gateway.client.resources import Resource


class LeaseRule(Resource):
    """How long machines are lent where an order says nothing, and at most; None is without an end."""

    kind: str
    reference: str
    default_s: float | None
    longest_s: float | None


class LeaseRules(Collection[LeaseRule]):
    """Each is called by its holder: ORGANISATION/PROJECT, an organisation's name, or an id of either."""

    def set(self, key: str, changes: Mapping[str, float | None], *, if_match: str | None = None) -> LeaseRule:
        """Change what is named (``default_s``, ``longest_s``); None takes the end away."""
        return self._change("PATCH", key, body=changes, if_match=if_match)
