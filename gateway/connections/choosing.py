"""Choose a route: enumerate, probe what is not known, rank, and write down why (S1 steps 3-6)."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.errors import InvalidValue
from catalog.ports import Clock
from gateway.connections.probing import Probe
from gateway.network import GATEWAY_NODE, Snapshot
from routing.candidates import CandidatePolicy, Route, enumerate_routes
from routing.errors import NoRoute
from routing.probe.plan import ProbePolicy, plan_probes
from routing.probe.summary import LinkMeasurement, MeasuredRoute, measured_route
from routing.ranking import MarginPolicy, Ranking, Score, Weights, choose, rank

LinkName = tuple[str, str]


class LinkBook:
    """The newest measurement of every link, shared by all connections: a shared link is probed once."""

    def __init__(self) -> None:
        """Start knowing nothing."""
        self._links: dict[LinkName, LinkMeasurement] = {}

    def add(self, measurements: Sequence[LinkMeasurement]) -> None:
        """Keep ``measurements``, each in place of what was known of its link."""
        for link in measurements:
            self._links[link.source, link.target] = link

    def all(self) -> tuple[LinkMeasurement, ...]:
        """Return every measurement."""
        return tuple(self._links.values())

    def estimates(self) -> Mapping[LinkName, float]:
        """Return the round-trip time in ms of every link that answered."""
        return {name: link.rtt_ms for name, link in self._links.items() if link.rtt_ms is not None}


class NothingAnswers(NoRoute):
    """There are routes to ``target``, and none of them answers now: the network may come back."""

    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A ranking, its routes from best to worst, and the route to use with regard to the one in use."""

    ranking: Ranking
    measured: tuple[MeasuredRoute, ...]
    weights: Weights
    preferred: Route

    def in_order(self) -> tuple[Route, ...]:
        """Return usable routes, the preferred first, then by preference."""
        usable = [score.route for score in self.ranking.scores if score.cost_ms is not None]
        return (self.preferred, *(route for route in usable if route != self.preferred))


class RouteChooser:
    """Enumerates, probes and ranks for one connection at a time; remembers links for all."""

    def __init__(
        self,
        *,
        probe: Probe,
        candidates: CandidatePolicy,
        probes: ProbePolicy,
        margin: MarginPolicy,
        clock: Clock,
    ) -> None:
        """Take the policies and a maker of probers (which holds the key for probing over relays)."""
        self._probe = probe
        self._candidates = candidates
        self._probes = probes
        self._margin = margin
        self._clock = clock
        self._measuring = asyncio.Lock()
        self.links = LinkBook()

    def enumerate(self, snapshot: Snapshot, wishes: Mapping[str, Any]) -> tuple[Route, ...]:
        """Return the candidate routes under the connection's own ``wishes``. Raises NoRoute."""
        policy = narrowed(self._candidates, wishes)
        return enumerate_routes(snapshot.topology, snapshot.target, policy, self.links.estimates())

    async def measure(self, snapshot: Snapshot, routes: Sequence[Route]) -> None:
        """Probe every link of ``routes`` that is not known freshly enough."""
        # One round after the other: a link that two connections share is fresh when the second one plans. A round is
        # bounded by its probes' own deadlines.
        async with self._measuring:
            plan = plan_probes(routes, self.links.all(), self._probes, gateway=GATEWAY_NODE, now_s=self._clock.now_s())
            self.links.add(await self._probe(plan, snapshot))

    def choose(
        self, snapshot: Snapshot, routes: Sequence[Route], weights: Weights, *, in_use: Route | None = None
    ) -> Choice:
        """Return the ranking of ``routes`` by what is known now. Raises NothingAnswers when none is usable."""
        graph = snapshot.topology.graph(snapshot.target)
        measured = []
        for route in routes:
            price = sum(graph.edges[link]["price_usd_per_gb"] for link in route.links(GATEWAY_NODE))
            measured.append(measured_route(route, self.links.all(), gateway=GATEWAY_NODE, price_usd_per_gb=price))
        ranking = rank(measured, weights)
        preferred = choose(ranking, in_use, self._margin)
        if preferred is None:
            raise NothingAnswers(
                f"none of {len(routes)} candidate routes to {snapshot.target.name} answers{_why_not(measured)}",
                target=snapshot.target.name,
                rule="probes",
            )
        return Choice(ranking=ranking, measured=tuple(measured), weights=weights, preferred=preferred)


def _why_not(measured: Sequence[MeasuredRoute]) -> str:
    """Return, in brackets, what kept links from being probed at all, such as a relay's wrong host key; or nothing."""
    noted = {f"{link.source} to {link.target}: {link.note}" for each in measured for link in each.links if link.note}
    return f" ({'; '.join(sorted(noted))})" if noted else ""


def is_declared(network: Snapshot, route: Route) -> bool:
    """Tell whether ``route`` leads over nothing but relays and links that are declared and enabled now."""
    graph = network.topology.graph(network.target)
    return all(graph.has_edge(*link) for link in route.links(GATEWAY_NODE))


def narrowed(policy: CandidatePolicy, wishes: Mapping[str, Any]) -> CandidatePolicy:
    """Return ``policy`` with a connection's wishes, which may narrow it and never widen it."""
    return dataclasses.replace(
        policy,
        direct_allowed=policy.direct_allowed and bool(wishes.get("direct_allowed", True)),
        relay_limit=min(policy.relay_limit, int(wishes.get("relay_limit", policy.relay_limit))),
        candidate_limit=min(policy.candidate_limit, int(wishes.get("candidate_limit", policy.candidate_limit))),
        avoid=policy.avoid | frozenset(wishes.get("avoid", ())),
    )


def weighted(weights: Weights, *changes: Mapping[str, float]) -> Weights:
    """Return ``weights`` with ``changes`` applied in order. Raises InvalidValue for an unknown name."""
    for change in changes:
        try:
            weights = dataclasses.replace(weights, **change)
        except TypeError as error:
            known = ", ".join(field.name for field in dataclasses.fields(Weights))
            raise InvalidValue("no such weight", field="weights", fix=f"the weights are {known}") from error
    return weights


def explained(choice: Choice, *, chosen: Route, refused: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """Return the stored why: every candidate, measurement, term and weight, the winner and the margin in ms."""
    by_route = {each.route: each for each in choice.measured}
    candidates = [_candidate(score, by_route[score.route]) for score in choice.ranking.scores]
    methods = {link["method"] for candidate in candidates for link in candidate["links"]}
    return {
        "weights": dataclasses.asdict(choice.weights),
        "winner": chosen.id,
        "margin_ms": choice.ranking.margin_ms,
        "candidates": candidates,
        "refused": [dict(each) for each in refused],
        "probe_methods": sorted(methods),
    }


def _candidate(score: Score, measured: MeasuredRoute) -> dict[str, Any]:
    return {
        "route": score.route.id,
        "hops": list(score.route.hops),
        "rtt_ms": measured.rtt_ms,
        "jitter_ms": measured.jitter_ms,
        "loss_ratio": measured.loss_ratio,
        "price_usd_per_gb": measured.price_usd_per_gb,
        "terms": dict(score.terms),
        "cost_ms": score.cost_ms,
        "preference": score.preference,
        "refused": score.refused,
        "links": [dataclasses.asdict(link) for link in measured.links],
    }
