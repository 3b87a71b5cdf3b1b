"""Enumerate candidate routes (S1): which paths are worth measuring, the cheapest by what is believed first.

Pure. Entry and exit relays are searched, not fixed: the nearest entry with the nearest exit is slower than going direct
for most pairs of real regions (with ``entry_limit`` and ``exit_limit`` of 1 and no direct route it can be had). One
relay gives most of the gain and two nearly all, so depth is limited. The routes are exactly the best under every rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from routing.errors import NoRoute
from routing.mesh import Mesh
from routing.paths.graph import Bools, Floats, Path
from routing.paths.k_best import k_best
from routing.paths.reach import UNREACHABLE, fewest_links
from routing.paths.through import k_best_through
from routing.paths.widest import widest
from routing.topology import Node, NodeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePolicy:
    """Which routes may be considered.

    ``avoid`` and ``require`` hold relay names, sites, regions and risk groups: a route goes over no relay that is
    called so, and for each required word over one that is.
    """

    direct_allowed: bool = True
    relay_limit: int = 3
    candidate_limit: int = 12
    entry_limit: int = 8
    exit_limit: int = 8
    avoid: frozenset[str] = frozenset()
    require: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """The relays to go through, in order, and the target's name. No relays: direct."""

    hops: tuple[str, ...]
    target: str

    @property
    def id(self) -> str:
        """The route in words: ``direct``, or relay names joined by ``>``."""
        return ">".join(self.hops) or "direct"

    def links(self, gateway: str) -> tuple[tuple[str, str], ...]:
        """Return the links travelled, as (source, target) names, from the gateway on."""
        return tuple(pairwise((gateway, *self.hops, self.target)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """For bulk: what each link of the mesh carries in Mbit/s (0: nothing), and what a route may cost in USD/GB."""

    mbps: Floats
    price_limit_usd_per_gb: float | None = None


def enumerate_routes(
    mesh: Mesh, policy: CandidatePolicy, costs_ms: Floats | None = None, width: Width | None = None
) -> tuple[Route, ...]:
    """Return at most ``candidate_limit`` routes to the mesh's target, the most promising first.

    ``costs_ms`` is what each link of the mesh is believed to cost, the round trip by distance where not given. Direct
    is first whenever it is allowed; of two equally cheap routes the one whose relays were declared first. With a
    ``width`` the widest route within its price is among them, however dear in ``costs_ms``. Raises NoRoute, which names
    the rule that removed the last candidate.
    """
    search = _Search(mesh, policy, mesh.guesses_ms if costs_ms is None else costs_ms)
    usable = search.usable()
    direct = mesh.links(())
    straight = direct is not None and bool(usable[direct[0]]) and not policy.require
    if direct is not None:
        usable[direct] = False
    wanted = max(1, policy.candidate_limit) - straight
    relayed = search.cheapest(usable, wanted) if wanted else ()
    if width is not None and wanted and not policy.require:
        widest_of_all = search.widest(usable, width)
        relayed = tuple(dict.fromkeys((*widest_of_all, *relayed)))[:wanted]
    return (*((Route((), search.target),) if straight else ()), *relayed)


def usable_links(mesh: Mesh, policy: CandidatePolicy) -> Bools:
    """Return which links ``policy`` allows whatever they cost: direct or not, and what is to be avoided."""
    usable = np.ones(mesh.graph.link_count, dtype=np.bool_)
    direct = mesh.links(())
    if direct is not None and not policy.direct_allowed:
        usable[direct] = False
    return np.asarray(usable & ~_avoided(mesh, policy))


def cheapest_required(mesh: Mesh, costs_ms: Floats, policy: CandidatePolicy, *, count: int) -> tuple[Path, ...]:
    """Return the ``count`` cheapest paths within ``relay_limit`` that go over a relay for each required word."""
    words = sorted(policy.require)
    marks = np.array([_marks(node, words) for node in mesh.nodes])
    if np.bitwise_or.reduce(marks) != (1 << len(words)) - 1:
        return ()
    ends = mesh.gateway, mesh.target
    return k_best_through(mesh.graph, costs_ms, *ends, marks, count=count, relay_limit=policy.relay_limit)


def _avoided(mesh: Mesh, policy: CandidatePolicy) -> Bools:
    if not policy.avoid:
        return np.zeros(mesh.graph.link_count, dtype=np.bool_)
    avoided = np.array([_is_relay(node) and node.is_called(policy.avoid) for node in mesh.nodes])
    return np.asarray(avoided[mesh.graph.heads] | avoided[mesh.graph.tails])


@dataclass(frozen=True, slots=True)
class _Search:
    mesh: Mesh
    policy: CandidatePolicy
    costs_ms: Floats

    @property
    def target(self) -> str:
        return self.mesh.nodes[self.mesh.target].name

    def usable(self) -> Bools:
        """Return which links are left once every rule is applied. Raises NoRoute.

        Only where nothing is left is it worked out which rule took the last, one after the other.
        """
        *_, (_, usable) = self._after_rules()
        if not self._leads_there(usable, self.policy.relay_limit):
            for rule, left in self._after_rules():
                # A rule on links is to blame only when no route of any length is left.
                if not self._leads_there(left, None if rule in _RULES_OF_LINKS else self.policy.relay_limit):
                    raise self.no_route(rule)
        return usable

    def cheapest(self, usable: Bools, count: int) -> tuple[Route, ...]:
        costs_ms = np.where(usable, self.costs_ms, np.inf)
        graph, ends, limit = self.mesh.graph, (self.mesh.gateway, self.mesh.target), self.policy.relay_limit
        if not self.policy.require:
            return self._routes(k_best(graph, costs_ms, *ends, count=count, relay_limit=limit))
        found = cheapest_required(self.mesh, costs_ms, self.policy, count=count)
        if not found:
            raise self.no_route("require")
        return self._routes(found)

    def widest(self, usable: Bools, width: Width) -> tuple[Route, ...]:
        """Return the one route of the widest narrowest hop within the price, or nothing."""
        limit = width.price_limit_usd_per_gb
        found = widest(
            self.mesh.graph,
            np.where(usable, width.mbps, 0.0),
            self.mesh.prices,
            self.mesh.gateway,
            self.mesh.target,
            price_limit=np.inf if limit is None else limit,
            relay_limit=self.policy.relay_limit,
        )
        return self._routes(() if found is None else (found,))

    def no_route(self, rule: str) -> NoRoute:
        return NoRoute(
            f"no route to {self.target}: the last one was ruled out by {_RULES[rule]}", target=self.target, rule=rule
        )

    def _routes(self, paths: tuple[Path, ...]) -> tuple[Route, ...]:
        names = [node.name for node in self.mesh.nodes]
        return tuple(Route(tuple(names[place] for place in path.nodes[1:-1]), self.target) for path in paths)

    def _after_rules(self) -> Iterator[tuple[str, Bools]]:
        """Yield each rule's name and the links that are left after it and all before (one array, changed in place)."""
        policy = self.policy
        usable = np.isfinite(self.costs_ms)
        yield "links", usable
        direct = self.mesh.links(())
        if direct is not None and not policy.direct_allowed:
            usable[direct] = False
        yield "direct_allowed", usable
        usable &= ~_avoided(self.mesh, policy)
        yield "avoid", usable
        yield "relay_limit", usable
        usable &= ~self._too_far(usable, policy.entry_limit, entries=True)
        yield "entry_limit", usable
        usable &= ~self._too_far(usable, policy.exit_limit, entries=False)
        yield "exit_limit", usable

    def _leads_there(self, usable: Bools, relay_limit: int | None) -> bool:
        at_most = None if relay_limit is None else relay_limit + 1
        found = fewest_links(self.mesh.graph, usable, self.mesh.gateway, at_most=at_most)
        return bool(found[self.mesh.target] != UNREACHABLE)

    def _too_far(self, usable: Bools, limit: int, *, entries: bool) -> Bools:
        """Return the links between gateway and entries (or exits and target) that are not of the nearest few."""
        graph, gateway, target = self.mesh.graph, self.mesh.gateway, self.mesh.target
        here, there = (graph.tails, graph.heads) if entries else (graph.heads, graph.tails)
        end, other = (gateway, target) if entries else (target, gateway)
        touching = np.flatnonzero(usable & (here == end) & (there != other))
        far = np.zeros(graph.link_count, dtype=np.bool_)
        if len(touching) > limit:
            # Only relays that lead on can be entries, or near dead ends would crowd out the one that works.
            useful = touching[self._leads_on(usable, entries=entries)[there[touching]]]
            nearest = useful[np.argsort(self.costs_ms[useful], kind="stable")[:limit]]
            far[np.setdiff1d(touching, nearest)] = True
        return far

    def _leads_on(self, usable: Bools, *, entries: bool) -> Bools:
        """Return, by node, whether a relay there leads to the target (as entry) or is led to by the gateway (as exit).

        A relay that does so only over more relays than a route may have does not.
        """
        start, limit = self.mesh.target if entries else self.mesh.gateway, self.policy.relay_limit
        return np.not_equal(fewest_links(self.mesh.graph, usable, start, backward=entries, at_most=limit), UNREACHABLE)


def _is_relay(node: Node) -> bool:
    return node.kind is NodeKind.RELAY


def _marks(node: Node, words: list[str]) -> int:
    """Return which of ``words`` a relay is called, as bits; a gateway or target meets no wish."""
    return sum((_is_relay(node) and node.is_called(frozenset({word}))) << bit for bit, word in enumerate(words))


_RULES_OF_LINKS = {"links", "direct_allowed", "avoid"}
_RULES = {
    "links": "the links between sites: nothing the gateway may dial leads there",
    "direct_allowed": "direct_allowed = false, and no relay leads there",
    "avoid": "avoid, which names every relay that leads there",
    "relay_limit": "relay_limit: every route needs more relays",
    "entry_limit": "entry_limit: none of the nearest entry relays leads there",
    "exit_limit": "exit_limit: none of the nearest exit relays can be reached",
    "require": "require: no route within the limits goes over a relay for each word",
}
