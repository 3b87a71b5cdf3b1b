"""How near the best route a cold start comes, and with how few probes: ``python -m tests.bench.routes [--json]``.

Every sample is drawn with noise around a matrix of round trips (RTT x (1 + an exponential of mean 0.05), seeded); the
chooser sees samples only. All ordered pairs are decided at once by what production runs: the k best candidates
(``routing.paths.k_best``), attention to the links that can change a decision, the link table, and the ranking.

``--matrix FILE.csv`` has names in its first row and column, ``FILE.npz`` a key ``rtt_ms`` (n x n, or t x n x n, of
which the first is taken; NaN: missing). Without one it is a synthetic mesh of 222 nodes.
"""

import argparse
import csv
import itertools
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from routing.candidates import Route
from routing.estimate.costs import Weights, link_costs_ms
from routing.estimate.route import MeasuredRoute, measured_route
from routing.estimate.table import LinkEstimate, LinkName, LinkTable
from routing.paths.distances import DistanceTable
from routing.paths.graph import Floats, Ints, LinkGraph
from routing.paths.graph import Path as NodePath
from routing.paths.k_best import k_best
from routing.probe.attention import AttentionPolicy, Contests, attend
from routing.ranking import Aim, rank
from tests.support.figures import Figures
from tests.support.meshes import synthetic_rtts_ms

FORWARDING_MS = 1.0  # what a relay adds
NOISE = 0.05
CANDIDATES = 12
RELAYS = 2
TURNS = 4
# Costs come off the enumeration in order; what cannot win needs no account of itself.
RANKED = 3
AIM = Aim(weights=Weights(loss=0, jitter=0, hops=FORWARDING_MS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matrix", type=Path, help="round trips, .csv or .npz")
    parser.add_argument("--pairs", type=int, help="so many ordered pairs, drawn; all of them by default")
    parser.add_argument("--seed", type=int, default=1)
    figures, arguments = Figures.from_arguments(parser)
    rtts_ms = read_matrix(arguments.matrix) if arguments.matrix else synthetic_rtts_ms(222, arguments.seed)
    started_s = time.perf_counter()
    bench = Bench(rtts_ms, np.random.default_rng(arguments.seed))
    pairs = bench.pairs(arguments.pairs, random.Random(arguments.seed))
    chosen = bench.decide(pairs)
    took_s = time.perf_counter() - started_s
    bench.tell(figures, pairs, chosen)
    figures.tell("routes_pairs", len(pairs), "pairs")
    figures.tell("routes_took", took_s, "s", ("<=", 60.0))


def read_matrix(file: Path) -> Floats:
    """Return the round trips in ms that ``file`` holds."""
    if file.suffix == ".npz":
        found = np.load(file)["rtt_ms"].astype(np.float64)
        return np.asarray(found[0] if found.ndim == 3 else found)
    with file.open() as lines:
        rows = list(csv.reader(lines))[1:]
    return np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])


class Bench:
    """One mesh: its truth, and a table that knows only samples of it."""

    def __init__(self, rtts_ms: Floats, rng: np.random.Generator) -> None:
        self.truth = rtts_ms.copy()
        np.fill_diagonal(self.truth, np.nan)
        self.count = len(rtts_ms)
        tails, heads = np.nonzero(np.isfinite(self.truth))
        self.graph = LinkGraph.in_order(self.count, tails, heads)
        self.table = LinkTable()
        # Row and link number are the same here: both count the matrix row by row.
        self.rows = self.table.rows((str(tail), str(head)) for tail, head in zip(tails, heads, strict=True))
        self.true_ms = self.truth[tails, heads]
        self.rng = rng
        self.packets = 0

    def pairs(self, count: int | None, chance: random.Random) -> list[tuple[int, int]]:
        """Return the ordered pairs that have a direct link: direct is what is compared with."""
        every = list(zip(self.graph.tails.tolist(), self.graph.heads.tolist(), strict=True))
        return every if count is None else sorted(chance.sample(every, min(count, len(every))))

    def sample(self, rows: Ints, counts: Ints) -> None:
        """Probe each of ``rows`` so many times."""
        left = counts.copy()
        while (left > 0).any():
            asked = rows[left > 0]
            noise = 1 + self.rng.exponential(NOISE, len(asked))
            self.table.absorb(asked, self.true_ms[asked] * noise, 0.0)
            self.packets += len(asked)
            left -= 1

    def decide(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
        """Return the chosen nodes of each pair after a cold start for all of them together."""
        self.sample(self.rows, np.ones(len(self.rows), dtype=np.int64))
        paths = self.candidates(pairs)
        contests = self.contests(paths)
        for turn in range(TURNS - 1):
            attention = attend(contests, self.table, AIM.weights, AttentionPolicy(), 0.0, turn=turn)
            self.sample(attention.rows, attention.samples)
        known = {(each.source, each.target): each for each in self.table.each(self.rows, 0.0)}
        return [best(each, known) for each in self.candidates(pairs)]

    def candidates(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[NodePath, ...]]:
        """Return the k best paths of each pair by what is believed now."""
        costs_ms = link_costs_ms(self.table.estimates(self.rows, 0.0), AIM.weights) + FORWARDING_MS
        distances = DistanceTable(self.graph, costs_ms)
        found: dict[tuple[int, int], tuple[NodePath, ...]] = {}
        for target, group in itertools.groupby(sorted(pairs, key=lambda pair: pair[1]), key=lambda pair: pair[1]):
            to_target = distances.to(target)
            for source, _ in group:
                found[source, target] = k_best(
                    self.graph, costs_ms, source, target, count=CANDIDATES, relay_limit=RELAYS, to_target=to_target
                )
        return [found[pair] for pair in pairs]

    def contests(self, paths: Sequence[tuple[NodePath, ...]]) -> Contests:
        """Return every pair's candidates as rows of the table."""
        links = np.full((len(paths), CANDIDATES, RELAYS + 1), -1, dtype=np.int64)
        extra_ms = np.full((len(paths), CANDIDATES), np.inf)
        number = np.full((self.count, self.count), -1, dtype=np.int64)
        number[self.graph.tails, self.graph.heads] = np.arange(self.graph.link_count)
        for which, candidates in enumerate(paths):
            for place, path in enumerate(candidates):
                for leg, (tail, head) in enumerate(itertools.pairwise(path.nodes)):
                    links[which, place, leg] = number[tail, head]
                extra_ms[which, place] = FORWARDING_MS * (len(path.nodes) - 2)
        return Contests(links=links, extra_ms=extra_ms, in_use=np.full(len(paths), -1, dtype=np.int64))

    def cost_ms(self, nodes: Sequence[int]) -> float:
        """Return what a path truly takes."""
        return float(sum(self.truth[pair] for pair in itertools.pairwise(nodes)) + FORWARDING_MS * (len(nodes) - 2))

    def tell(self, figures: Figures, pairs: Sequence[tuple[int, int]], chosen: Sequence[Sequence[int]]) -> None:
        """Print how the choices compare with hindsight, the direct way and S1's literal rule."""
        sources, targets = np.array(pairs).T
        direct_ms = self.truth[sources, targets]
        chosen_ms = np.array([self.cost_ms(nodes) for nodes in chosen])
        best_ms = hindsight_ms(self.truth)[sources, targets]
        literal_ms = literal_rule_ms(self.truth)[sources, targets]
        near = chosen_ms <= best_ms + np.maximum(0.02 * best_ms, 2.0) + 1e-9
        gain = (direct_ms.mean() - chosen_ms.mean()) / (direct_ms.mean() - best_ms.mean())
        figures.tell("routes_direct_mean", float(direct_ms.mean()), "ms")
        figures.tell("routes_chosen_mean", float(chosen_ms.mean()), "ms")
        figures.tell("routes_hindsight_mean", float(best_ms.mean()), "ms")
        figures.tell("routes_s1_literal_mean", float(np.nanmean(literal_ms)), "ms")
        figures.tell("routes_within_2pc_or_2ms", float(near.mean()), "ratio", (">=", 0.95))
        figures.tell("routes_gain_of_hindsight", float(gain), "ratio", (">=", 0.89))
        figures.tell("routes_cold_probes_per_pair", self.packets / len(pairs), "packets", ("<=", 40.0))


def best(candidates: Sequence[NodePath], known: Mapping[LinkName, LinkEstimate]) -> tuple[int, ...]:
    """Return the nodes of the candidate that production's ranking prefers."""
    found = [measured(path, known) for path in candidates[:RANKED]]
    winner = rank(found, AIM).winner
    assert winner is not None
    return candidates[[each.route for each in found].index(winner)].nodes


def measured(path: NodePath, known: Mapping[LinkName, LinkEstimate]) -> MeasuredRoute:
    """Return what is believed of one candidate, as production composes it."""
    names = [str(node) for node in path.nodes]
    return measured_route(Route(tuple(names[1:-1]), names[-1]), known, gateway=names[0])


def hindsight_ms(truth: Floats) -> Floats:
    """Return the best of direct, one and two relays for all pairs, knowing the truth."""
    known = np.where(np.isnan(truth), np.inf, truth)
    one = known.copy()
    for relay in range(len(known)):
        np.minimum(one, known[:, relay : relay + 1] + known[relay : relay + 1, :] + FORWARDING_MS, out=one)
    two = one.copy()
    for relay in range(len(known)):
        np.minimum(two, known[:, relay : relay + 1] + one[relay : relay + 1, :] + FORWARDING_MS, out=two)
    return two


def literal_rule_ms(truth: Floats) -> Floats:
    """Return S1's literal rule: the relay nearest the requester, then the one nearest the target, and never direct."""
    known = np.where(np.isnan(truth), np.inf, truth)
    entry = known.argmin(axis=1)
    leave = known.argmin(axis=0)
    nodes = np.arange(len(known))
    found = np.full(known.shape, np.nan)
    for source in nodes:
        for target in nodes:
            first, last = int(entry[source]), int(leave[target])
            hops = [source, *dict.fromkeys(hop for hop in (first, last) if hop not in {source, target}), target]
            legs = sum(known[pair] for pair in itertools.pairwise(hops))
            found[source, target] = legs + FORWARDING_MS * (len(hops) - 2)
    return np.where(np.isfinite(found), found, np.nan)


if __name__ == "__main__":
    main()
