"""Choose a route: enumerate, probe where it can change the choice, rank, and decide with regard to the route in use.

S1 steps 3-6. What is known of links is shared by all connections: a link is probed once for all.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from catalog.ports import Clock
from gateway.connections.explanation import Choice
from gateway.connections.links import LinkBook
from gateway.connections.probing import Listen, Probe, hear_nothing
from gateway.network import GATEWAY_NODE, Snapshot
from routing.candidates import CandidatePolicy, Route, Width, enumerate_routes
from routing.errors import HopError, NoRoute
from routing.estimate.route import MeasuredRoute
from routing.mesh import Mesh
from routing.paths.graph import Ints
from routing.probe.attention import AttentionPolicy, attend, moved_rows
from routing.probe.budget import ProbeBudget
from routing.probe.plan import ProbePlan, plan_probes
from routing.ranking import Aim, Profile, Score, rank, score
from routing.standby import find_standby
from routing.steadiness import Hold, SteadinessPolicy, decide
from routing.survey import alive_costs_ms, contest, dead_rows, is_alive, measure, promised_costs_ms, widths_mbps
from routing.tunnel.tunnel import Tunnel


class NothingAnswers(NoRoute):
    """There are routes to ``target``, and none of them answers now: the network may come back."""

    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosingPolicy:
    """What choosing keeps to. ``turns`` bounds the rounds of probes for one choice."""

    candidates: CandidatePolicy = field(default_factory=CandidatePolicy)
    attention: AttentionPolicy = field(default_factory=AttentionPolicy)
    steadiness: SteadinessPolicy = field(default_factory=SteadinessPolicy)
    turns: int = 4


class RouteChooser:
    """Enumerates, probes and ranks for one connection at a time; remembers links for all."""

    def __init__(
        self,
        *,
        probe: Probe,
        policy: ChoosingPolicy,
        budget: ProbeBudget,
        links: LinkBook,
        clock: Clock,
        listen: Listen = hear_nothing,
    ) -> None:
        """Take the policies, what may be spent, the links' memory, who carries probes out and who hears tunnels."""
        self._probe = probe
        self._listen = listen
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._measuring = asyncio.Lock()
        self.links = links

    def enumerate(self, network: Snapshot, wishes: Mapping[str, Any], aim: Aim) -> tuple[Route, ...]:
        """Return the candidate routes under the connection's own ``wishes``, the most promising first. Raises NoRoute.

        Routes over what is down are among them only where no other is left.
        """
        mesh, now_s = self._mesh(network), self._clock.now_s()
        costs_ms = promised_costs_ms(mesh, self.links.table, aim, now_s)
        width = None
        if aim.profile is Profile.BULK:
            width = Width(
                mbps=widths_mbps(mesh, self.links.table, now_s), price_limit_usd_per_gb=aim.price_limit_usd_per_gb
            )
        routes = enumerate_routes(mesh, narrowed(self._policy.candidates, wishes), costs_ms, width)
        return tuple(route for route in routes if is_alive(mesh, route, costs_ms)) or routes

    async def explore(
        self, network: Snapshot, wishes: Mapping[str, Any], aim: Aim, *, in_use: Route | None = None
    ) -> tuple[Route, ...]:
        """Probe what can change the choice and is not known well enough; return the candidates after that.

        The route in use is among them as long as it is declared. Raises NoRoute.
        """
        moved = np.array([], dtype=np.int64)
        for turn in range(self._policy.turns):
            routes = self._with(in_use, self.enumerate(network, wishes, aim), network)
            # One round after the other: a link that two connections share is known when the second one asks. A round
            # is bounded by its probes' own deadlines.
            async with self._measuring:
                plan = self._planned(network, routes, aim, in_use=in_use, turn=turn, moved=moved)
                if not plan.links:
                    break
                moved = np.union1d(moved, await self._probed(plan, network))
        return self._with(in_use, self.enumerate(network, wishes, aim), network)

    def unreachable(self, route: Route, error: HopError) -> None:
        """Believe that the link to the hop at which building ``route`` failed is down, until a probe comes back."""
        link = next(each for each in route.links(GATEWAY_NODE) if each[1] == error.hop)
        self.links.lost(link, self._clock.now_s(), error.code)

    async def listen(self, tunnel: Tunnel, route: Route, network: Snapshot) -> None:
        """Take in what a live tunnel on ``route`` shows of its links."""
        heard = await self._listen(tunnel, route, self._clock)
        # A relay that was removed in the meantime is nobody's business any more.
        if self.is_declared(network, route):
            self.links.add(heard, network)

    def choose(
        self,
        network: Snapshot,
        routes: Sequence[Route],
        aim: Aim,
        *,
        wishes: Mapping[str, Any],
        hold: Hold | None = None,
        at_once: bool = False,
    ) -> Choice:
        """Return the choice between ``routes`` by what is known now. Raises NothingAnswers when none is usable.

        ``at_once``: a clearly better route is taken without waiting, as when somebody changed what counts.
        """
        mesh, now_s = self._mesh(network), self._clock.now_s()
        measured = measure(mesh, self.links.table, routes, now_s)
        ranking = rank(measured, aim)
        held = hold or Hold()
        steadiness = self._policy.steadiness
        if at_once:
            steadiness = dataclasses.replace(steadiness, patience=0.0)
        verdict = decide(ranking.costs_ms(), held, steadiness)
        if verdict.route is None:
            raise NothingAnswers(
                f"none of {len(routes)} candidate routes to {network.target.name} answers{_why_not(measured)}",
                target=network.target.name,
                rule="probes",
            )
        policy = narrowed(self._policy.candidates, wishes)
        costs_ms = promised_costs_ms(mesh, self.links.table, aim, now_s)
        return Choice(
            ranking=ranking,
            measured=measured,
            aim=aim,
            steadiness=steadiness,
            hold=held,
            verdict=verdict,
            preferred=verdict.route,
            standby=find_standby(mesh, alive_costs_ms(costs_ms), verdict.route, policy),
        )

    def standing(self, network: Snapshot, route: Route, aim: Aim) -> tuple[MeasuredRoute, Score] | None:
        """Return what is believed of ``route`` now, and its score; None where it leads over what is not declared."""
        if not self.is_declared(network, route):
            return None
        (measured,) = measure(self._mesh(network), self.links.table, [route], self._clock.now_s())
        return measured, score(measured, aim)

    def _planned(
        self, network: Snapshot, routes: Sequence[Route], aim: Aim, *, in_use: Route | None, turn: int, moved: Ints
    ) -> ProbePlan:
        """Return what deserves probes now and can be paid for; it is paid for."""
        mesh, table, now_s = self._mesh(network), self.links.table, self._clock.now_s()
        policy = self._policy.attention
        costs_ms = promised_costs_ms(mesh, table, aim, now_s)
        if turn == 0 and not any(is_alive(mesh, route, costs_ms) for route in routes):
            # Nothing is lost by asking the dead at once when nobody else is left to ask.
            policy = dataclasses.replace(policy, dead_age_s=0.0)
        attention = attend(
            contest(mesh, routes, aim.weights, in_use),
            table,
            aim.weights,
            policy,
            now_s,
            turn=turn,
            others=dead_rows(mesh, table, now_s),
            moved=moved,
            packets_limit=self._budget.limit(now_s),
        )
        return self._budget.afford(plan_probes(attention, table, mesh, routes), now_s)

    async def _probed(self, plan: ProbePlan, network: Snapshot) -> Ints:
        """Carry out ``plan`` and return the rows of links that turned out to be elsewhere than believed."""
        table = self.links.table
        rows = table.rows((link.source, link.target) for link in plan.links)
        before = table.estimates(rows, self._clock.now_s())
        self.links.add(await self._probe(plan, network), network)
        return moved_rows(rows, before, table.estimates(rows, self._clock.now_s()), self._policy.attention)

    def _mesh(self, network: Snapshot) -> Mesh:
        return self.links.meshes.mesh(network.topology, network.target)

    def _with(self, in_use: Route | None, routes: tuple[Route, ...], network: Snapshot) -> tuple[Route, ...]:
        """Return ``routes`` and the route in use, unless it leads over what is no longer declared."""
        if in_use is None or in_use in routes or not self.is_declared(network, in_use):
            return routes
        return (*routes, in_use)

    def is_declared(self, network: Snapshot, route: Route) -> bool:
        """Tell whether ``route`` leads over nothing but relays and links that are declared and enabled now."""
        return self._mesh(network).links(route.hops) is not None


def narrowed(policy: CandidatePolicy, wishes: Mapping[str, Any]) -> CandidatePolicy:
    """Return ``policy`` with a connection's wishes, which may narrow it and never widen it."""
    return dataclasses.replace(
        policy,
        direct_allowed=policy.direct_allowed and bool(wishes.get("direct_allowed", True)),
        relay_limit=min(policy.relay_limit, int(wishes.get("relay_limit", policy.relay_limit))),
        candidate_limit=min(policy.candidate_limit, int(wishes.get("candidate_limit", policy.candidate_limit))),
        avoid=policy.avoid | frozenset(wishes.get("avoid", ())),
        require=policy.require | frozenset(wishes.get("require", ())),
    )


def _why_not(measured: Sequence[MeasuredRoute]) -> str:
    """Return, in brackets, what kept links from being probed at all, such as a relay's wrong host key; or nothing."""
    noted = {f"{link.source} to {link.target}: {link.note}" for each in measured for link in each.links if link.note}
    return f" ({'; '.join(sorted(noted))})" if noted else ""
