"""Graphs to try path algorithms on, all from a seed, and the plainest search of all to hold them against.

Costs are like round trips in ms: distance on a plane, times noise, so that the cheapest way is not always straight.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from routing.paths.graph import Bools, Floats, LinkGraph, Path

Costed = tuple[LinkGraph, Floats]

_WIDTH_MS = 200.0
_NOISE_RATIO = 0.3
_LEAST_MS = 0.5
# Of what is added to an operator's network: how much is a dead end, and how many chains end where they began.
_DEAD_END_RATIO = 0.4
_HUNG_RATIO = 0.3


def full_mesh(count: int, seed: int) -> Costed:
    """Return a graph with a link from every node to every other; there and back cost differently."""
    return _costed(~np.eye(count, dtype=np.bool_), seed)


def sparse(count: int, seed: int, *, near: int = 2, far: int = 1) -> Costed:
    """Return a graph in which every node is linked to so many of the nearest and so many at random, both ways."""
    chance = np.random.default_rng((seed, 1))
    order = np.argsort(_distances(count, seed), axis=1)
    rows = np.repeat(np.arange(count), near + far)
    columns = np.hstack([order[:, 1 : near + 1], chance.integers(count, size=(count, far))]).ravel()
    linked = np.zeros((count, count), dtype=np.bool_)
    linked[rows, columns] = linked[columns, rows] = True
    np.fill_diagonal(linked, val=False)
    return _costed(linked, seed)


def operator_network(count: int, seed: int) -> Costed:
    """Return a graph like those of network operators: a ring, chains across it and hung on one node, and dead ends.

    About 1.2 links a node, a tenth of the nodes dead ends, and two paths apart for 35 to 65 % of the pairs: within what
    eight networks of the Internet Topology Zoo show (1.16 to 1.55, 0 to 36 %, 21 to 100 %).
    """
    chance = np.random.default_rng((seed, 2))
    ring = min(count, 6)
    angles = np.linspace(0, 2 * np.pi, ring, endpoint=False)
    places = np.zeros((count, 2))
    places[:ring] = _WIDTH_MS / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    linked = np.zeros((count, count), dtype=np.bool_)
    linked[np.arange(ring), (np.arange(ring) + 1) % ring] = ring > 1
    done = ring
    while done < count:
        start = int(chance.integers(done))
        end, length = start, 1
        is_dead_end = chance.random() < _DEAD_END_RATIO
        if not is_dead_end:
            length = min(int(chance.integers(1, 7)), count - done)
            nearest = np.argsort(np.hypot(*(places[:done] - places[start]).T))
            end = start if chance.random() < _HUNG_RATIO else int(nearest[chance.integers(1, min(10, done))])
        chain = np.arange(done, done + length)
        way = np.linspace(0, 1, length + 2)[1:-1, None]
        middle = places[start] * (1 - way) + places[end] * way
        places[chain] = middle + chance.normal(scale=_WIDTH_MS / 20, size=(length, 2))
        linked[[start, *chain[:-1]], chain] = True
        linked[chain[-1], end] |= not is_dead_end
        done += length
    np.fill_diagonal(linked, val=False)
    return _costed_at(places, linked | linked.T, seed)


def large_sparse(count: int, degree: int, seed: int) -> Costed:
    """Return a graph in which so many links leave every node, at random; no array of all pairs is ever made."""
    chance = np.random.default_rng((seed, 5))
    ends = np.unique(np.repeat(np.arange(count), degree) * count + chance.integers(count, size=count * degree))
    tails, heads = ends // count, ends % count
    tails, heads = tails[tails != heads], heads[tails != heads]
    places = chance.random((count, 2)) * _WIDTH_MS
    costs = _LEAST_MS + np.hypot(*(places[tails] - places[heads]).T) * (
        1 + chance.exponential(_NOISE_RATIO, len(tails))
    )
    return LinkGraph.in_order(count, tails, heads), costs


def linked(count: int, links: dict[tuple[int, int], float]) -> Costed:
    """Return the graph of exactly these links, with what each costs."""
    graph = LinkGraph.of(count, links)
    return graph, np.array(
        [links[tail, head] for tail, head in zip(graph.tails, graph.heads, strict=True)], dtype=float
    )


def all_simple_paths(
    graph: LinkGraph, costs: Floats, source: int, target: int, relay_limit: int | None = None
) -> list[Path]:
    """Return every simple path over usable links by trying all, cheapest first, equal ones by their nodes."""
    longest = graph.node_count if relay_limit is None else relay_limit + 2
    found = [Path.along(graph, costs, nodes) for nodes in _extended(graph, costs, (source,), target, longest)]
    return sorted(found, key=lambda path: (path.cost, path.nodes))


def are_apart(one: Path, other: Path, groups: Sequence[frozenset[int]] | None) -> bool:
    """Tell whether two paths share neither relay nor group, and are two."""
    if one.nodes == other.nodes or set(one.nodes[1:-1]) & set(other.nodes[1:-1]):
        return False
    if groups is None:
        return True
    return all(groups[relay].isdisjoint(groups[rival]) for relay in one.nodes[1:-1] for rival in other.nodes[1:-1])


def random_groups(count: int, seed: int, *, groups: int) -> tuple[frozenset[int], ...]:
    """Return for each node none, one or two of so many groups."""
    chance = np.random.default_rng((seed, 3))
    return tuple(frozenset(chance.integers(groups, size=chance.integers(3)).tolist()) for _ in range(count))


def _extended(
    graph: LinkGraph, costs: Floats, nodes: tuple[int, ...], target: int, longest: int
) -> Iterator[tuple[int, ...]]:
    if nodes[-1] == target:
        yield nodes
    elif len(nodes) < longest:
        start, end = graph.starts[nodes[-1]], graph.starts[nodes[-1] + 1]
        for head in graph.heads[start:end][np.isfinite(costs[start:end])].tolist():
            if head not in nodes:
                yield from _extended(graph, costs, (*nodes, head), target, longest)


def _distances(count: int, seed: int) -> Floats:
    return _between(np.random.default_rng((seed, 0)).random((count, 2)) * _WIDTH_MS)


def _between(places: Floats) -> Floats:
    apart = places[:, None, :] - places[None, :, :]
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]), dtype=np.float64)


def _costed(linked: Bools, seed: int) -> Costed:
    places = np.random.default_rng((seed, 0)).random((len(linked), 2)) * _WIDTH_MS
    return _costed_at(places, linked, seed)


def _costed_at(places: Floats, linked: Bools, seed: int) -> Costed:
    chance = np.random.default_rng((seed, 4))
    costs = _LEAST_MS + _between(places) * (1 + chance.exponential(_NOISE_RATIO, linked.shape))
    tails, heads = np.nonzero(linked)
    return LinkGraph.in_order(len(linked), tails, heads), costs[tails, heads]
