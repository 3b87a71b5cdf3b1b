"""Rank measured routes by their network preference value; the largest wins (S1).

Pure: no I/O, no clock, no logging. The cost is additive and absolute, in milliseconds the operator would
pay: a route's cost does not depend on which others are considered (min-max normalised scores change their
winner in a fifth of cases when a loser is dropped), and the cost of a path is the sum over its links.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from routing.candidates import Route
from routing.estimate.costs import JITTER_DEVIATIONS, Weights, transfer_ms_per_mb
from routing.estimate.route import MeasuredRoute

# The preference halves with every 100 ms of cost: 0 ms is 100, 100 ms is 50, 200 ms is 25.
_HALVING_MS = 100.0


class Profile(StrEnum):
    """What a connection is for.

    ``interactive``: many small requests, so the additive cost counts. ``bulk``: few large ones, so the narrowest hop
    counts, and the price may be limited.
    """

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """By what routes are ranked: the profile, the weights (interactive), and the price limit in USD/GB (bulk)."""

    weights: Weights = field(default_factory=Weights)
    profile: Profile = Profile.INTERACTIVE
    price_limit_usd_per_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One route's preference and how it came about.

    ``terms`` is ms per term, by name (in bulk the one term is the time that a megabyte takes through the narrowest
    hop); ``cost_ms`` is their sum and ``preference`` = 100 * 2 ** (-cost / 100),
    in [0, 100]. For an unusable route ``cost_ms`` is None, ``preference`` is 0, and ``refused`` says why.
    """

    route: Route
    terms: Mapping[str, float]
    cost_ms: float | None
    preference: float
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Scores, best first. ``winner`` is None when no route is usable.

    ``margin_ms`` is how much dearer the runner-up is; None when there is none.
    """

    scores: tuple[Score, ...]
    winner: Route | None
    margin_ms: float | None

    def costs_ms(self) -> dict[Route, float]:
        """Return the cost of every usable route."""
        return {each.route: each.cost_ms for each in self.scores if each.cost_ms is not None}


def score(measured: MeasuredRoute, aim: Aim) -> Score:
    """Return the network preference value of ``measured``.

    A route that lost every packet has preference 0 whatever the weights say: a fast path that delivers
    nothing must never win.
    """
    terms = _fixed_terms(measured, aim)
    if measured.rtt_ms is None or measured.loss_cost is None:
        unknown = any(link.measured_at_s is None for link in measured.links)
        return _unusable(measured.route, terms, "not measured yet" if unknown else "nothing came back")
    if aim.profile is Profile.BULK:
        terms["transfer"] = float(transfer_ms_per_mb(measured.throughput_mbps))
    else:
        weights = aim.weights
        terms["delay"] = weights.delay * measured.rtt_ms
        terms["loss"] = weights.loss * weights.loss_scale_ms * measured.loss_cost
        terms["jitter"] = weights.jitter * JITTER_DEVIATIONS * measured.jitter_ms
    if measured.loss_ratio > aim.weights.loss_limit_ratio:
        return _unusable(measured.route, terms, "loses more than loss_limit_ratio")
    limit = aim.price_limit_usd_per_gb
    if aim.profile is Profile.BULK and limit is not None and measured.price_usd_per_gb > limit:
        return _unusable(measured.route, terms, "dearer than price_limit_usd_per_gb")
    cost_ms = sum(terms[name] for name in sorted(terms))
    return Score(route=measured.route, terms=terms, cost_ms=cost_ms, preference=100 * 2 ** (-cost_ms / _HALVING_MS))


def rank(measured: Sequence[MeasuredRoute], aim: Aim) -> Ranking:
    """Return every route's score, best first; the unusable last.

    Ties go to the smaller id, so that equal inputs give equal answers in every process.
    """
    scores = sorted((score(each, aim) for each in measured), key=_order)
    costs = [each.cost_ms for each in scores if each.cost_ms is not None]
    return Ranking(
        scores=tuple(scores),
        winner=scores[0].route if costs else None,
        margin_ms=costs[1] - costs[0] if len(costs) > 1 else None,
    )


def _fixed_terms(measured: MeasuredRoute, aim: Aim) -> dict[str, float]:
    """Return what a route costs whatever is measured; nothing in bulk, where only the narrowest hop counts."""
    if aim.profile is Profile.BULK:
        return {}
    return {
        "hops": aim.weights.hops * measured.relays,
        "price": aim.weights.price * measured.price_usd_per_gb,
        "risk": aim.weights.risk * measured.risk,
    }


def _unusable(route: Route, terms: Mapping[str, float], why: str) -> Score:
    return Score(route=route, terms=terms, cost_ms=None, preference=0.0, refused=why)


def _order(each: Score) -> tuple[bool, float, str]:
    return (each.cost_ms is None, each.cost_ms or 0.0, each.route.id)
