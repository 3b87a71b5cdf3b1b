"""The stored why of a route, and what follows from it: ranked again under other weights, or decided again. Pure.

A decision's document holds every number that went into it, so that nothing has to be measured to answer "what if" and
"was that right": JSON keeps floats exactly, and the same functions give the same answer bit for bit.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.errors import InvalidValue
from routing.candidates import Route
from routing.estimate.costs import Weights
from routing.estimate.route import MeasuredRoute
from routing.estimate.table import LinkEstimate
from routing.ranking import Aim, Profile, Ranking, Score, rank
from routing.standby import Standby
from routing.steadiness import CHANGES, Hold, SteadinessPolicy, Verdict, decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A ranking, what it was based on, and the verdict with regard to what the connection carried (``hold``)."""

    ranking: Ranking
    measured: tuple[MeasuredRoute, ...]
    aim: Aim
    steadiness: SteadinessPolicy
    hold: Hold
    verdict: Verdict
    preferred: Route
    standby: Standby

    def in_order(self) -> tuple[Route, ...]:
        """Return usable routes, the preferred first, then by preference."""
        usable = [score.route for score in self.ranking.scores if score.cost_ms is not None]
        return (self.preferred, *(route for route in usable if route != self.preferred))


def weighted(weights: Weights, *changes: Mapping[str, float]) -> Weights:
    """Return ``weights`` with ``changes`` applied in order. Raises InvalidValue for an unknown name."""
    for change in changes:
        try:
            weights = dataclasses.replace(weights, **change)
        except TypeError as error:
            known = ", ".join(field.name for field in dataclasses.fields(Weights))
            raise InvalidValue("no such weight", field="weights", fix=f"the weights are {known}") from error
    return weights


def aimed(weights: Weights, wishes: Mapping[str, Any]) -> Aim:
    """Return by what a connection with ``wishes`` ranks routes, given the weights in force for it."""
    return Aim(
        weights=weights,
        profile=Profile(wishes.get("profile") or Profile.INTERACTIVE),
        price_limit_usd_per_gb=wishes.get("price_limit_usd_per_gb"),
    )


def explained(choice: Choice, *, chosen: Route, refused: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """Return the stored why: every candidate, measurement, term and weight, the winner, the margin, the standby."""
    before = choice.hold.in_use
    return _ranked(choice.ranking, choice.measured, choice.aim) | {
        "winner": chosen.id,
        "reason": choice.verdict.reason.value,
        "before": before.id if before else "",
        "standby": choice.standby.to_json(),
        "refused": [dict(each) for each in refused],
        "steadiness": {"policy": dataclasses.asdict(choice.steadiness), "hold": choice.hold.to_json()},
    }


def reranked(
    document: Mapping[str, Any], weights: Mapping[str, float], *, profile: str | None = None
) -> dict[str, Any]:
    """Return ``document`` as it would be under other weights or another profile; nothing is measured or changed.

    The winner is then simply the best: what is in use has no say in a question of what if. Raises InvalidValue for an
    unknown weight.
    """
    before = _aim(document)
    aim = dataclasses.replace(
        before,
        weights=weighted(before.weights, weights),
        profile=Profile(profile) if profile is not None else before.profile,
    )
    measured = _measured(document)
    ranking = rank(measured, aim)
    winner = ranking.winner.id if ranking.winner else None
    return dict(document) | _ranked(ranking, measured, aim) | {"winner": winner, "reason": "what-if"}


def decided_again(document: Mapping[str, Any]) -> Verdict:
    """Return the verdict that the stored inputs lead to: the same as then, bit for bit."""
    ranking = rank(_measured(document), _aim(document))
    told = document["steadiness"]
    return decide(ranking.costs_ms(), Hold.from_json(told["hold"]), SteadinessPolicy(**told["policy"]))


def carried(document: Mapping[str, Any]) -> Hold:
    """Return what a connection whose tunnel is gone carries on from its last decision: its route, and its changes.

    What the route cost and missed is of the past. A route that was taken because the verdict's could not be built was a
    change too.
    """
    if "steadiness" not in document:
        return Hold()  # written before connections carried anything
    verdict = decided_again(document)
    taken = next(each for each in document["candidates"] if each["route"] == document["winner"])
    route = Route(tuple(taken["hops"]), taken["target"])
    return taking(route, verdict, SteadinessPolicy(**document["steadiness"]["policy"]), before=document["before"])


def taking(route: Route, verdict: Verdict, steadiness: SteadinessPolicy, *, before: str) -> Hold:
    """Return what is carried on with ``route``, whatever the verdict was; ``before`` is the id of the one before."""
    strain = verdict.hold.strain
    if verdict.route != route and verdict.reason not in CHANGES and before not in {"", route.id}:
        strain += steadiness.dearer
    return Hold(in_use=route, strain=strain)


def _ranked(ranking: Ranking, measured: Sequence[MeasuredRoute], aim: Aim) -> dict[str, Any]:
    by_route = {each.route: each for each in measured}
    candidates = [_candidate(score, by_route[score.route]) for score in ranking.scores]
    # A link that nobody measured yet has none.
    methods = {link["method"] for candidate in candidates for link in candidate["links"] if link["method"]}
    return {
        "weights": dataclasses.asdict(aim.weights),
        "profile": aim.profile.value,
        "price_limit_usd_per_gb": aim.price_limit_usd_per_gb,
        "margin_ms": ranking.margin_ms,
        "candidates": candidates,
        "probe_methods": sorted(methods),
    }


def _candidate(score: Score, measured: MeasuredRoute) -> dict[str, Any]:
    facts = dataclasses.asdict(measured)
    del facts["route"], facts["relays"]
    return facts | {
        "route": score.route.id,
        "target": score.route.target,
        "hops": list(score.route.hops),
        "terms": dict(score.terms),
        "cost_ms": score.cost_ms,
        "preference": score.preference,
        "refused": score.refused,
        "links": [dataclasses.asdict(link) for link in measured.links],
    }


def _aim(document: Mapping[str, Any]) -> Aim:
    return aimed(Weights(**document["weights"]), document)


def _measured(document: Mapping[str, Any]) -> tuple[MeasuredRoute, ...]:
    """Return what was measured, read back from a document."""
    return tuple(_measured_route(candidate) for candidate in document["candidates"])


def _measured_route(told: Mapping[str, Any]) -> MeasuredRoute:
    same = ("rtt_ms", "jitter_ms", "loss_ratio", "loss_cost", "price_usd_per_gb", "risk", "throughput_mbps")
    return MeasuredRoute(
        route=Route(tuple(told["hops"]), told["target"]),
        relays=len(told["hops"]),
        links=tuple(LinkEstimate(**link) for link in told["links"]),
        **{name: told[name] for name in same},
    )
