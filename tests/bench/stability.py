"""Keeping the best route as the network changes: ``python -m tests.bench.stability [--json] [--series FILE.npz]``.

A series is ``rtt_ms``, slices x nodes x nodes, NaN = missing; without a file one is made up and called synthetic. Each
pair's route, direct or over one relay, is decided for a slice by what was probed up to the slice before, and costs what
the slice then says. Production's ``attend`` asks, its ``LinkTable`` believes, its ``decide`` decides: nothing else of a
slice is seen. A slice is one review; the cost is the round trip alone, for that is all a series says.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routing.candidates import Route
from routing.estimate.costs import Weights, link_costs_ms
from routing.estimate.table import LinkTable
from routing.paths.graph import Floats, Ints
from routing.probe.attention import NOBODY, AttentionPolicy, Contests, attend, moved_rows
from routing.steadiness import CHANGES, Hold, SteadinessPolicy, decide
from tests.support.figures import Bar, Figures

REVIEW_S = 15.0
# Of full probing, over the whole series; the first slice, in which every link is asked once, is saved on the others.
LIMIT_RATIO = 0.199
# A review has time for as many rounds of probes.
TURNS = 4
STATIC_SLICES = 20
WEIGHTS = Weights(loss=0.0, jitter=0.0, hops=0.0)
# A series has no noise within a slice, so that one packet says what three would.
ATTENTION = AttentionPolicy(in_use_samples=1, rest_age_s=10 * REVIEW_S)
STEADINESS = SteadinessPolicy()
KEPT: Bar = (">=", 70)
CHANGED: Bar = ("<=", 10)
PROBED: Bar = ("<=", 20)


def main() -> None:
    """Replay, and print what was kept, what it took, and what simpler ways keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=Path, help="an .npz with rtt_ms, slices x nodes x nodes, NaN = missing")
    parser.add_argument("--pairs", type=int, default=400, help="how many pairs are drawn")
    parser.add_argument("--seed", type=int, default=1, help="of the draw, and of the synthetic series")
    figures, arguments = Figures.from_arguments(parser)
    rtt_ms = np.load(arguments.series)["rtt_ms"] if arguments.series else synthetic_series(arguments.seed)
    note = "" if arguments.series else "synthetic"
    scene = Scene.drawn(rtt_ms.astype(np.float64), arguments.pairs, arguments.seed)
    replayed = replay(scene)
    figures.tell("gain_kept", scene.gain_kept(replayed.chosen), "%", KEPT, note=note)
    figures.tell("changes_per_pair_per_100_slices", changes(replayed.chosen), "changes", CHANGED, note=note)
    figures.tell("probes_of_full_probing", 100 * replayed.packets / scene.full_packets, "%", PROBED, note=note)
    figures.tell("chosen_route_down", scene.down(replayed.chosen), "%", note=note)
    for reason, count in replayed.reasons.items():
        figures.tell(f"changes_{reason}", count / scene.decided * 100, "per 100", note=note)
    for name, rule in RULES.items():
        chosen = rule(scene)
        figures.tell(f"{name}_gain_kept", scene.gain_kept(chosen), "%", note=note)
        figures.tell(f"{name}_changes", changes(chosen), "changes", note=note)
    figures.tell("hindsight_gain", scene.hindsight_gain_ms(), "ms", note=f"of {scene.direct_ms():.1f} ms direct")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A series, the pairs, and their candidates: direct first, then over each relay, as links of the series.

    ``links`` is (pairs, candidates, 2), -1 where direct has no second link; ``samples_ms`` is (slices, links), inf
    where missing; ``costs_ms`` is (slices, pairs, candidates).
    """

    names: tuple[tuple[str, str], ...]
    routes: tuple[tuple[Route, ...], ...]
    links: Ints
    samples_ms: Floats
    costs_ms: Floats

    @classmethod
    def drawn(cls, rtt_ms: Floats, pairs: int, seed: int) -> "Scene":
        """Return the scene with so many ordered pairs, drawn without replacement, or all when there are no more."""
        nodes = rtt_ms.shape[1]
        tails, heads = np.nonzero(~np.eye(nodes, dtype=np.bool_))
        number = np.full((nodes, nodes), NOBODY)
        number[tails, heads] = np.arange(len(tails))
        drawn = np.random.default_rng(seed).choice(len(tails), min(pairs, len(tails)), replace=False)
        sources, targets = tails[drawn], heads[drawn]
        relays = np.array([np.setdiff1d(np.arange(nodes), ends) for ends in zip(sources, targets, strict=True)])
        links = np.full((len(drawn), nodes - 1, 2), NOBODY)
        links[:, 0, 0] = number[sources, targets]
        links[:, 1:, 0] = number[sources[:, None], relays]
        links[:, 1:, 1] = number[relays, targets[:, None]]
        samples_ms = np.where(np.isnan(rtt_ms), np.inf, rtt_ms)[:, tails, heads]
        padded_ms = np.concatenate((samples_ms, np.zeros((len(samples_ms), 1))), axis=1)
        return cls(
            names=tuple((f"n{tail}", f"n{head}") for tail, head in zip(tails, heads, strict=True)),
            routes=tuple(
                (Route((), f"n{target}"), *(Route((f"n{relay}",), f"n{target}") for relay in over))
                for target, over in zip(targets, relays, strict=True)
            ),
            links=links,
            samples_ms=samples_ms,
            costs_ms=padded_ms[:, links].sum(axis=3),
        )

    @property
    def slices(self) -> int:
        """How many slices there are."""
        return len(self.samples_ms)

    @property
    def used(self) -> Ints:
        """The links that any candidate of any pair uses."""
        return np.unique(self.links[self.links != NOBODY])

    @property
    def full_packets(self) -> int:
        """How many packets it takes to ask every link in use once for each slice that is decided."""
        return len(self.used) * (self.slices - 1)

    @property
    def decided(self) -> int:
        """How many decisions there are."""
        return len(self.links) * (self.slices - 1)

    def cost_ms(self, chosen: Ints) -> Floats:
        """Return what the choices (slices from the second on, pairs) cost in their slices."""
        cost_ms: Floats = np.take_along_axis(self.costs_ms[1:], chosen[:, :, None], axis=2)[:, :, 0]
        return cost_ms

    def gain_kept(self, chosen: Ints) -> float:
        """Return which share of hindsight's gain over direct was kept, in percent, where both were up."""
        direct_ms, cost_ms = self.costs_ms[1:, :, 0], self.cost_ms(chosen)
        up = np.isfinite(direct_ms) & np.isfinite(cost_ms)
        kept_ms = direct_ms[up] - cost_ms[up]
        return 100 * float(kept_ms.sum() / (direct_ms[up] - self.costs_ms[1:].min(axis=2)[up]).sum())

    def down(self, chosen: Ints) -> float:
        """Return in which share of slices the choice was down though some candidate was not, in percent."""
        return 100 * float((np.isinf(self.cost_ms(chosen)) & np.isfinite(self.costs_ms[1:].min(axis=2))).mean())

    def direct_ms(self) -> float:
        """Return the mean of direct where it is up."""
        direct_ms = self.costs_ms[1:, :, 0]
        return float(direct_ms[np.isfinite(direct_ms)].mean())

    def hindsight_gain_ms(self) -> float:
        """Return the mean of what the best candidate saves where direct is up."""
        direct_ms = self.costs_ms[1:, :, 0]
        up = np.isfinite(direct_ms)
        return float((direct_ms[up] - self.costs_ms[1:].min(axis=2)[up]).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Which candidate was chosen (slices from the second on, pairs), packets spent, and changes by reason."""

    chosen: Ints
    packets: int
    reasons: dict[str, int]


def replay(scene: Scene) -> Replayed:
    """Return what production would have done."""
    prober = Prober(scene)
    pairs = len(scene.links)
    holds = [Hold() for _ in range(pairs)]
    place_of = [{route: place for place, route in enumerate(routes)} for routes in scene.routes]
    in_use = np.full(pairs, NOBODY)
    chosen = np.zeros((scene.slices - 1, pairs), dtype=np.int64)
    reasons = {reason.value: 0 for reason in sorted(CHANGES)}
    for place in range(scene.slices - 1):
        costs_ms = prober.costs_ms(place, in_use)
        for pair, routes in enumerate(scene.routes):
            verdict = decide(dict(zip(routes, costs_ms[pair].tolist(), strict=True)), holds[pair], STEADINESS)
            holds[pair] = verdict.hold
            if verdict.route is not None:
                in_use[pair] = place_of[pair][verdict.route]
            if verdict.reason in CHANGES:
                reasons[verdict.reason.value] += 1
        # Whoever has no route tries direct.
        chosen[place] = np.maximum(in_use, 0)
    return Replayed(chosen=chosen, packets=prober.packets, reasons=reasons)


class Prober:
    """Sees of a slice what attention asks for."""

    def __init__(self, scene: Scene) -> None:
        """Start knowing nothing."""
        self.packets = 0
        self._scene = scene
        self._table = LinkTable()
        self._rows = self._table.rows(scene.names)
        after_first = max(0.0, LIMIT_RATIO * (scene.slices - 1) - 1) / max(1, scene.slices - 2)
        self._nothing_ms = np.zeros(scene.links.shape[:2])
        self._limit = int(after_first * len(scene.used))

    def costs_ms(self, place: int, in_use: Ints) -> Floats:
        """Return what every candidate (pairs, candidates) is believed to cost once slice ``place`` was probed."""
        now_s = place * REVIEW_S
        left = len(self._scene.used) if place == 0 else self._limit
        moved = self._rows[:0]
        for _ in range(TURNS):
            contests = Contests(links=self._scene.links, extra_ms=self._nothing_ms, in_use=in_use)
            attention = attend(contests, self._table, WEIGHTS, ATTENTION, now_s, moved=moved, packets_limit=left)
            if not attention.packets:
                break
            left -= attention.packets
            before = self._table.estimates(attention.rows, now_s)
            self._probe(attention.rows, attention.samples, place)
            after = self._table.estimates(attention.rows, now_s)
            moved = np.union1d(moved, moved_rows(attention.rows, before, after, ATTENTION))
        links_ms = link_costs_ms(self._table.estimates(self._rows, now_s), WEIGHTS)
        sums_ms: Floats = np.append(links_ms, 0.0)[self._scene.links].sum(axis=2)
        return sums_ms

    def _probe(self, rows: Ints, samples: Ints, place: int) -> None:
        self.packets += int(samples.sum())
        told_ms = self._scene.samples_ms[place]
        for packet in range(int(samples.max())):
            asked = rows[samples > packet]
            self._table.absorb(asked, np.where(np.isfinite(told_ms[asked]), told_ms[asked], np.nan), place * REVIEW_S)


def synthetic_series(seed: int, nodes: int = 100, slices: int = 150) -> Floats:
    """Return a series in ms that was made up: ways on a sphere with detours, drift, level shifts, spikes, congestion.

    A detour makes a way up to three times as long as it need be, which is where relays gain. Each way shifts to
    another level once in 60 slices on average, and spikes once in 200; a node is congested for a while once in 80.
    """
    chance = np.random.default_rng((seed, 1))
    places = chance.normal(size=(nodes, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    way_ms = (
        120.0 / np.pi * np.arccos(np.clip(places @ places.T, -1, 1)) + chance.exponential(2.0, (nodes, nodes)) + 1.0
    )
    detour = 1.0 + 2.0 * chance.beta(1.0, 3.0, (nodes, nodes))
    turns = np.arange(slices)[:, None, None] / slices + chance.uniform(size=(nodes, nodes))
    drift = 1.0 + 0.1 * np.sin(2 * np.pi * turns)
    shifts = chance.uniform(size=(slices, nodes, nodes)) < 1 / 60
    # The number of shifts so far picks the level, of which every way has its own few.
    levels = 1.0 + chance.exponential(0.4, (8, nodes, nodes))
    level = np.take_along_axis(levels, np.cumsum(shifts, axis=0) % len(levels), axis=0)
    spikes = 1.0 + (chance.uniform(size=(slices, nodes, nodes)) < 1 / 200) * chance.uniform(
        1, 9, (slices, nodes, nodes)
    )
    congested_ms = np.zeros((slices, nodes))
    for place, node in zip(*np.nonzero(chance.uniform(size=(slices, nodes)) < 1 / 80), strict=True):
        congested_ms[place : place + int(chance.integers(2, 12)), node] += chance.exponential(60.0)
    queue_ms = congested_ms[:, :, None] + congested_ms[:, None, :]
    series_ms: Floats = way_ms * detour * drift * level * spikes + queue_ms
    return series_ms


def changes(chosen: Ints) -> float:
    """Return how often a pair changed its route, per 100 slices."""
    return 100 * float((chosen[1:] != chosen[:-1]).mean())


def greedy(scene: Scene) -> Ints:
    """Choose what was best in the whole of the slice before: full probing, and every change made."""
    found: Ints = scene.costs_ms[:-1].argmin(axis=2)
    return found


def static_best(scene: Scene) -> Ints:
    """Choose once what was best on average over the first slices."""
    early_ms = np.where(np.isinf(scene.costs_ms[:STATIC_SLICES]), np.nan, scene.costs_ms[:STATIC_SLICES])
    known = np.isfinite(early_ms).any(axis=0)
    mean_ms = np.where(known, np.nansum(early_ms, axis=0) / np.maximum(1, np.isfinite(early_ms).sum(axis=0)), np.inf)
    return np.broadcast_to(mean_ms.argmin(axis=1), (scene.slices - 1, len(scene.links)))


def static_nearest(scene: Scene) -> Ints:
    """Choose once the relay that is nearest to the source: the entry of S1's literal rule, as its exit too."""
    first_ms = np.append(scene.samples_ms[0], 0.0)[scene.links]
    return np.broadcast_to(1 + first_ms[:, 1:, 0].argmin(axis=1), (scene.slices - 1, len(scene.links)))


RULES: dict[str, Callable[[Scene], Ints]] = {
    "greedy_on_full_slices": greedy,
    "static_best_of_first_20": static_best,
    "static_nearest_relay": static_nearest,
}

if __name__ == "__main__":
    main()
