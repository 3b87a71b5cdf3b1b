"""Decide whether to leave the route in use: escape fast, return slowly. Pure.

A route that is dead, or became much dearer than it usually is, is left at once. One that is merely beaten is left when
staying has cost more than a move is worth: what a clearly better route would have saved is added up from decision to
decision, and forgotten as soon as it is not clearly better any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from routing.candidates import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadinessPolicy:
    """What a move must be worth.

    A route is clearly better by ``move_ratio`` of the cost in use and by ``move_ms``; it is taken once the savings
    missed since it became so reach ``patience`` times that margin. The route in use is much worse than usual at
    ``escape_ratio`` times its usual cost; then one clearly better route is enough. ``usual_weight`` is how much a
    decision moves the usual cost.
    """

    move_ratio: float = 0.1
    move_ms: float = 10.0
    patience: float = 3.0
    escape_ratio: float = 1.5
    usual_weight: float = 0.1


class Reason(StrEnum):
    """Why a route is the one to use."""

    FIRST = "first"
    KEPT = "kept"
    MOVED = "moved"
    ESCAPED_WORSE = "escaped-worse"
    ESCAPED_DEAD = "escaped-dead"
    NOTHING = "nothing-usable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What one connection carries from decision to decision: the route in use, its usual cost, what it has missed."""

    in_use: Route | None = None
    usual_ms: float | None = None
    missed_ms: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values; floats survive JSON bit for bit."""
        route = None if self.in_use is None else {"hops": list(self.in_use.hops), "target": self.in_use.target}
        return {"in_use": route, "usual_ms": self.usual_ms, "missed_ms": self.missed_ms}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Hold":
        """Return what ``to_json`` wrote."""
        route = told["in_use"]
        in_use = None if route is None else Route(tuple(route["hops"]), route["target"])
        return cls(in_use=in_use, usual_ms=told["usual_ms"], missed_ms=told["missed_ms"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The route to use (None: none is usable), why, and what to carry on."""

    route: Route | None
    reason: Reason
    hold: Hold


def decide(costs_ms: Mapping[Route, float], hold: Hold, policy: SteadinessPolicy) -> Verdict:
    """Return the verdict on candidates that cost ``costs_ms`` now; whoever is not among them cannot be used.

    Ties go to the smaller id. On unchanged costs a verdict of FIRST, MOVED or ESCAPED is followed by KEPT.
    """
    if not costs_ms:
        return Verdict(route=None, reason=Reason.NOTHING, hold=Hold())
    best = min(costs_ms, key=lambda route: (costs_ms[route], route.id))
    if hold.in_use is None:
        return _taken(best, costs_ms, Reason.FIRST)
    if hold.in_use not in costs_ms:
        return _taken(best, costs_ms, Reason.ESCAPED_DEAD)
    return _weighed(best, costs_ms, hold.in_use, hold, policy)


def _weighed(
    best: Route, costs_ms: Mapping[Route, float], in_use: Route, hold: Hold, policy: SteadinessPolicy
) -> Verdict:
    """Return the verdict where the route in use still works."""
    cost_ms = costs_ms[in_use]
    usual_ms = cost_ms if hold.usual_ms is None else hold.usual_ms
    saved_ms = cost_ms - costs_ms[best]
    margin_ms = max(policy.move_ms, policy.move_ratio * cost_ms)
    clearly = saved_ms > 0 and saved_ms >= margin_ms
    missed_ms = hold.missed_ms + saved_ms if clearly else 0.0
    if clearly and cost_ms > policy.escape_ratio * usual_ms:
        return _taken(best, costs_ms, Reason.ESCAPED_WORSE)
    if clearly and missed_ms >= policy.patience * margin_ms:
        return _taken(best, costs_ms, Reason.MOVED)
    settled_ms = usual_ms + policy.usual_weight * (cost_ms - usual_ms)
    return Verdict(route=in_use, reason=Reason.KEPT, hold=Hold(in_use=in_use, usual_ms=settled_ms, missed_ms=missed_ms))


def _taken(route: Route, costs_ms: Mapping[Route, float], reason: Reason) -> Verdict:
    return Verdict(route=route, reason=reason, hold=Hold(in_use=route, usual_ms=costs_ms[route]))
