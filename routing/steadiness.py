"""Decide whether to leave the route in use: escape fast, return slowly. Pure.

A route that is dead, or became much dearer than it usually is, is left at once. One that is merely beaten is left when
staying has cost more than a move is worth: what a clearly better route would have saved is added up from decision to
decision, and forgotten as soon as it is not clearly better any more.

Every change raises what counts as clearly better, and quiet decisions lower it again: a calm network is followed
closely, a restless one is not chased. And a cost leans towards its own mean over many decisions: a route that is
unusually good now will mostly not stay so.

Decisions are counted, not timed: they are one review apart, or less when the route in use is suspect.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from routing.candidates import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadinessPolicy:
    """What a move must be worth.

    A route is clearly better by ``move_ratio`` of the cost in use and by ``move_ms``, to which each change adds
    ``dearer`` times ``move_ms``, half of it for ``calm_decisions``. It is taken once the savings missed since it became
    so reach ``patience`` times that margin. The route in use is much worse than usual at ``escape_ratio`` times its
    usual cost, which a decision moves by ``usual_weight``; then one clearly better route is enough.

    ``lean`` is how much of an expected cost is the route's mean over about ``memory_decisions``. The means of at most
    ``remembered_limit`` routes that are no candidates now are kept.
    """

    move_ratio: float = 0.1
    move_ms: float = 10.0
    dearer: float = 2.0
    calm_decisions: float = 20.0
    patience: float = 3.0
    escape_ratio: float = 1.5
    usual_weight: float = 0.1
    lean: float = 0.2
    memory_decisions: int = 100
    remembered_limit: int = 32


class Reason(StrEnum):
    """Why a route is the one to use."""

    FIRST = "first"
    KEPT = "kept"
    MOVED = "moved"
    ESCAPED_WORSE = "escaped-worse"
    ESCAPED_DEAD = "escaped-dead"
    NOTHING = "nothing-usable"


CHANGES = frozenset({Reason.MOVED, Reason.ESCAPED_WORSE, Reason.ESCAPED_DEAD})


class Mean(NamedTuple):
    """What a route has cost on average, in ms, over how many decisions."""

    ms: float
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What one connection carries from decision to decision.

    That is the route in use, its usual cost, what it has missed, how many changes still weigh on the margin (the
    older, the less), and the mean cost of each route, those seen last at the end.
    """

    in_use: Route | None = None
    usual_ms: float | None = None
    missed_ms: float = 0.0
    strain: float = 0.0
    means: Mapping[Route, Mean] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; floats survive JSON bit for bit."""
        return {
            "in_use": None if self.in_use is None else _told(self.in_use),
            "usual_ms": self.usual_ms,
            "missed_ms": self.missed_ms,
            "strain": self.strain,
            "means": [_told(route) | mean._asdict() for route, mean in self.means.items()],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Hold":
        """Return what ``to_json`` wrote."""
        return cls(
            in_use=None if told["in_use"] is None else _route(told["in_use"]),
            usual_ms=told["usual_ms"],
            missed_ms=told["missed_ms"],
            strain=told["strain"],
            means={_route(each): Mean(ms=each["ms"], decisions=each["decisions"]) for each in told["means"]},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The route to use (None: none is usable), why, and what to carry on.

    ``saved_ms`` is what the most promising route is expected to save, ``margin_ms`` what it must; both are 0 where
    there was nothing to compare.
    """

    route: Route | None
    reason: Reason
    hold: Hold
    saved_ms: float = 0.0
    margin_ms: float = 0.0


def decide(costs_ms: Mapping[Route, float], hold: Hold, policy: SteadinessPolicy) -> Verdict:
    """Return the verdict on candidates that cost ``costs_ms`` now; whoever is missing or costs inf cannot be used.

    Ties go to the smaller id. Where nothing is usable ``hold`` is carried on: the route in use may come back.
    """
    usable = {route: cost_ms for route, cost_ms in costs_ms.items() if math.isfinite(cost_ms)}
    if not usable:
        return Verdict(route=None, reason=Reason.NOTHING, hold=hold)
    means = _means_with(usable, hold.means, policy)
    held = replace(hold, means=means, strain=hold.strain * 0.5 ** (1 / policy.calm_decisions))
    expected_ms = {route: cost_ms + policy.lean * (means[route].ms - cost_ms) for route, cost_ms in usable.items()}
    least_ms = min(expected_ms.values())
    best = min((route for route, cost_ms in expected_ms.items() if cost_ms == least_ms), key=lambda route: route.id)
    if hold.in_use is None:
        return Verdict(route=best, reason=Reason.FIRST, hold=_taking(best, usable, held))
    strained = replace(held, strain=held.strain + policy.dearer)
    if hold.in_use not in usable:
        return Verdict(route=best, reason=Reason.ESCAPED_DEAD, hold=_taking(best, usable, strained))
    case = _weighed(_Duel(hold.in_use, best, usable, expected_ms), held, policy)
    if case.reason is Reason.KEPT:
        return case
    return replace(case, hold=_taking(best, usable, strained))


@dataclass(frozen=True, slots=True)
class _Duel:
    """The route in use against the most promising one, and what each costs now and is expected to."""

    in_use: Route
    best: Route
    costs_ms: Mapping[Route, float]
    expected_ms: Mapping[Route, float]


def _weighed(duel: _Duel, held: Hold, policy: SteadinessPolicy) -> Verdict:
    """Return whether to keep the route in use, which still works; the hold is that of one that is kept."""
    cost_ms = duel.costs_ms[duel.in_use]
    usual_ms = cost_ms if held.usual_ms is None else held.usual_ms
    saved_ms = duel.expected_ms[duel.in_use] - duel.expected_ms[duel.best]
    margin_ms = max(policy.move_ms, policy.move_ratio * cost_ms) + held.strain * policy.move_ms
    # Nobody moves to what is dearer now, however good it used to be.
    clearly = duel.costs_ms[duel.best] < cost_ms and saved_ms >= margin_ms
    missed_ms = held.missed_ms + saved_ms if clearly else 0.0
    reason = Reason.KEPT
    if clearly and cost_ms > policy.escape_ratio * usual_ms:
        reason = Reason.ESCAPED_WORSE
    elif clearly and missed_ms >= policy.patience * margin_ms:
        reason = Reason.MOVED
    settled_ms = usual_ms + policy.usual_weight * (cost_ms - usual_ms)
    return Verdict(
        route=duel.in_use if reason is Reason.KEPT else duel.best,
        reason=reason,
        hold=replace(held, usual_ms=settled_ms, missed_ms=missed_ms),
        saved_ms=saved_ms,
        margin_ms=margin_ms,
    )


def _taking(route: Route, costs_ms: Mapping[Route, float], held: Hold) -> Hold:
    return replace(held, in_use=route, usual_ms=costs_ms[route], missed_ms=0.0)


def _means_with(
    costs_ms: Mapping[Route, float], means: Mapping[Route, Mean], policy: SteadinessPolicy
) -> dict[Route, Mean]:
    """Return the means after one more decision: the unseen as they were, as many as may be kept, then the seen."""
    unseen = [route for route in means if route not in costs_ms]
    kept = {route: means[route] for route in unseen[max(0, len(unseen) - policy.remembered_limit) :]}
    for route, cost_ms in costs_ms.items():
        before = means.get(route)
        if before is None:
            kept[route] = Mean(cost_ms, 1)
        else:
            count = min(before.decisions + 1, policy.memory_decisions)
            kept[route] = Mean(before.ms + (cost_ms - before.ms) / count, count)
    return kept


def _told(route: Route) -> dict[str, Any]:
    return {"hops": list(route.hops), "target": route.target}


def _route(told: Mapping[str, Any]) -> Route:
    return Route(tuple(told["hops"]), told["target"])
