"""Decide whether to leave the route in use: escape fast, return slowly. Pure.

A route that is dead, or became much dearer than it usually is, is left at once. One that is merely beaten is left when
staying has cost more than a move is worth: what a clearly better route would have saved is added up from decision to
decision, and forgotten as soon as it is not clearly better any more.

Every change raises what counts as clearly better, and quiet decisions lower it again: a calm network is followed
closely, a restless one is not chased.

Decisions are counted, not timed: they are one review apart, or less when the route in use is suspect.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from routing.candidates import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadinessPolicy:
    """What a move must be worth.

    A route is clearly better by ``move_ratio`` of the cost in use and by ``move_ms``, to which each change adds
    ``dearer`` times ``move_ms``, half of it for ``calm_decisions``. It is taken once the savings missed since it became
    so reach ``patience`` times that margin. The route in use is much worse than usual at ``escape_ratio`` times its
    usual cost, which a decision moves by ``usual_weight``; then one clearly better route is enough.
    """

    move_ratio: float = 0.1
    move_ms: float = 10.0
    dearer: float = 2.0
    calm_decisions: float = 20.0
    patience: float = 1.5
    escape_ratio: float = 1.25
    usual_weight: float = 0.1


class Reason(StrEnum):
    """Why a route is the one to use."""

    FIRST = "first"
    KEPT = "kept"
    MOVED = "moved"
    ESCAPED_WORSE = "escaped-worse"
    ESCAPED_DEAD = "escaped-dead"
    NOTHING = "nothing-usable"


CHANGES = frozenset({Reason.MOVED, Reason.ESCAPED_WORSE, Reason.ESCAPED_DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What one connection carries from decision to decision.

    That is the route in use, its usual cost, what it has missed, and how many changes still weigh on the margin (the
    older, the less).
    """

    in_use: Route | None = None
    usual_ms: float | None = None
    missed_ms: float = 0.0
    strain: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values; floats survive JSON bit for bit."""
        route = None if self.in_use is None else {"hops": list(self.in_use.hops), "target": self.in_use.target}
        return {"in_use": route, "usual_ms": self.usual_ms, "missed_ms": self.missed_ms, "strain": self.strain}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Hold":
        """Return what ``to_json`` wrote."""
        route = told["in_use"]
        in_use = None if route is None else Route(tuple(route["hops"]), route["target"])
        # A hold that was written before changes were counted has none.
        return cls(
            in_use=in_use,
            usual_ms=told["usual_ms"],
            missed_ms=told["missed_ms"],
            strain=told.get("strain", 0.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The route to use (None: none is usable), why, and what to carry on.

    ``saved_ms`` is what the best route would save, ``margin_ms`` what it must; both are 0 where there was nothing to
    compare.
    """

    route: Route | None
    reason: Reason
    hold: Hold
    saved_ms: float = 0.0
    margin_ms: float = 0.0


def decide(costs_ms: Mapping[Route, float], hold: Hold, policy: SteadinessPolicy) -> Verdict:
    """Return the verdict on candidates that cost ``costs_ms`` now; whoever is missing or costs inf cannot be used.

    Ties go to the smaller id. On unchanged costs a verdict of FIRST, MOVED or ESCAPED is followed by KEPT. Where
    nothing is usable ``hold`` is carried on: the route in use may come back.
    """
    usable = {route: cost_ms for route, cost_ms in costs_ms.items() if math.isfinite(cost_ms)}
    if not usable:
        return Verdict(route=None, reason=Reason.NOTHING, hold=hold)
    least_ms = min(usable.values())
    best = min((route for route, cost_ms in usable.items() if cost_ms == least_ms), key=lambda route: route.id)
    held = replace(hold, strain=hold.strain * 0.5 ** (1 / policy.calm_decisions))
    if hold.in_use is None:
        return Verdict(route=best, reason=Reason.FIRST, hold=_taking(best, least_ms, held))
    strained = replace(held, strain=held.strain + policy.dearer)
    if hold.in_use not in usable:
        return Verdict(route=best, reason=Reason.ESCAPED_DEAD, hold=_taking(best, least_ms, strained))
    weighed = _weighed(hold.in_use, usable[hold.in_use], least_ms, held, policy)
    if weighed.reason is Reason.KEPT:
        return weighed
    return replace(weighed, route=best, hold=_taking(best, least_ms, strained))


def _weighed(in_use: Route, cost_ms: float, least_ms: float, held: Hold, policy: SteadinessPolicy) -> Verdict:
    """Return whether to keep the route in use, which still works; route and hold are those of one that is kept."""
    usual_ms = cost_ms if held.usual_ms is None else held.usual_ms
    saved_ms = cost_ms - least_ms
    margin_ms = max(policy.move_ms, policy.move_ratio * cost_ms) + held.strain * policy.move_ms
    clearly = 0 < saved_ms >= margin_ms
    missed_ms = held.missed_ms + saved_ms if clearly else 0.0
    reason = Reason.KEPT
    if clearly and cost_ms > policy.escape_ratio * usual_ms:
        reason = Reason.ESCAPED_WORSE
    elif clearly and missed_ms >= policy.patience * margin_ms:
        reason = Reason.MOVED
    settled_ms = usual_ms + policy.usual_weight * (cost_ms - usual_ms)
    keeping = replace(held, usual_ms=settled_ms, missed_ms=missed_ms)
    return Verdict(route=in_use, reason=reason, hold=keeping, saved_ms=saved_ms, margin_ms=margin_ms)


def _taking(route: Route, cost_ms: float, held: Hold) -> Hold:
    return replace(held, in_use=route, usual_ms=cost_ms, missed_ms=0.0)
