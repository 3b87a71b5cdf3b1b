"""Graphs to try path algorithms on, all from a seed, and the plainest search of all to hold them against.

Costs are like round trips in ms: distance on a plane, times noise, so that the cheapest way is not always straight.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from routing.paths.graph import Floats, LinkGraph, Path

Costed = tuple[LinkGraph, Floats]

_WIDTH_MS = 200.0
_NOISE_RATIO = 0.3
_LEAST_MS = 0.5


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
    """Return a graph like those of network operators: a tree of the nearest, a few rings across it, many dead ends."""
    chance = np.random.default_rng((seed, 2))
    distances = _distances(count, seed)
    linked = np.zeros((count, count), dtype=np.bool_)
    for node in range(1, count):
        # Now and then not to the nearest: chains and stars come out of it as they do in the field.
        nearest = np.argsort(distances[node, :node])[: chance.integers(1, 3)]
        linked[node, nearest[-1]] = True
    for node in chance.choice(count, size=count // 4, replace=False):
        other = int(np.argsort(distances[node])[chance.integers(1, min(6, count))])
        linked[node, other] = node != other
    return _costed(linked | linked.T, seed)


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
    places = np.random.default_rng((seed, 0)).random((count, 2)) * _WIDTH_MS
    apart = places[:, None, :] - places[None, :, :]
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]), dtype=np.float64)


def _costed(linked: np.ndarray[tuple[int, int], np.dtype[np.bool_]], seed: int) -> Costed:
    chance = np.random.default_rng((seed, 4))
    costs = _LEAST_MS + _distances(len(linked), seed) * (1 + chance.exponential(_NOISE_RATIO, linked.shape))
    tails, heads = np.nonzero(linked)
    return LinkGraph.in_order(len(linked), tails, heads), costs[tails, heads]
