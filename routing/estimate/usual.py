"""What links usually cost, and what they are expected to cost for the next reviews. Pure state, no clock of its own.

A link that is unusually good now will mostly not stay so, and what was seen long ago says less than what is usual: the
expected cost leans from the newest belief towards the mean over many reviews, further as the belief ages.

The mean of a restless link takes long to know. Until then it is drawn towards what its two ends suggest (a way's cost
is roughly a factor for each end), as far as links are seen to wander more than they differ from that: where nothing
wanders nothing is drawn. There and back are one way, so that both directions count as one.
"""

from dataclasses import dataclass

import numpy as np

from routing.estimate.table import LinkTable
from routing.paths.graph import Floats, Ints

# Below a millisecond nothing matters, and logarithms run away.
_LEAST_MS = 1.0
# Rounds of fitting the ends' factors, each to what the others leave; more change nothing that matters.
_FIT_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualPolicy:
    """``lean`` is how much of what is expected of a fresh belief is the usual cost.

    After ``fade_half_life_s`` a belief weighs half. Means are over about ``memory_reviews``. A cost that changed by
    ``moved_ratio`` is a new look at the link: looks in between show the same again.
    """

    lean: float = 0.2
    fade_half_life_s: float = 200.0
    memory_reviews: int = 100
    moved_ratio: float = 0.1


class UsualCosts:
    """The usual cost of every row of a link table, kept from review to review."""

    def __init__(self, table: LinkTable, policy: UsualPolicy | None = None) -> None:
        """Start knowing nothing of the links of ``table``, which may grow."""
        self.policy = policy or UsualPolicy()
        self._table = table
        self._ends: dict[str, int] = {}
        self._ways: dict[tuple[int, int], int] = {}
        self._way = np.zeros(0, dtype=np.int64)  # by row: its way, the same for there and back
        self._near, self._far = self._way, self._way  # by way: its ends
        self._mean_ms: Floats = np.zeros(0)  # by row, and so are the next four
        self._last_ms: Floats = np.zeros(0)
        self._reviews: Floats = np.zeros(0)
        self._looks: Floats = np.zeros(0)
        self._usual_ms: Floats = np.zeros(0)
        self._wandering = _Spread()

    def review(self, costs_ms: Floats) -> None:
        """Take in what every row of the table costs at one more review; inf where it cannot be used."""
        self._grow(len(costs_ms))
        known = np.flatnonzero(np.isfinite(costs_ms))
        now_ms = np.maximum(costs_ms[known], _LEAST_MS)
        first = self._reviews[known] == 0
        last_ms = np.where(first, now_ms, self._last_ms[known])
        moved = np.abs(now_ms - last_ms) >= self.policy.moved_ratio * last_ms
        again = ~first
        self._wandering.add(np.log(now_ms[again] / self._mean_ms[known[again]]) ** 2)
        self._looks[known] += first | moved
        self._last_ms[known] = now_ms
        self._reviews[known] = np.minimum(self._reviews[known] + 1, self.policy.memory_reviews)
        before_ms = np.where(first, now_ms, self._mean_ms[known])
        self._mean_ms[known] = before_ms + (now_ms - before_ms) / self._reviews[known]
        self._settle()

    def expected_ms(self, costs_ms: Floats, age_s: Floats) -> Floats:
        """Return what every row is expected to cost, given what it is believed to and since when; inf stays inf."""
        self._grow(len(costs_ms))
        weight = (1 - self.policy.lean) * 0.5 ** (np.maximum(0.0, age_s) / self.policy.fade_half_life_s)
        known = np.isfinite(costs_ms) & (self._reviews > 0)
        expected_ms: Floats = costs_ms.copy()
        usual_ms = self._usual_ms[known]
        expected_ms[known] = usual_ms + weight[known] * (costs_ms[known] - usual_ms)
        return expected_ms

    def _grow(self, count: int) -> None:
        """Make room for rows that are new."""
        start = len(self._way)
        if count == start:
            return
        ways = []
        for source, target in self._table.names[start:count]:
            here, there = (self._ends.setdefault(name, len(self._ends)) for name in (source, target))
            ways.append(self._ways.setdefault((min(here, there), max(here, there)), len(self._ways)))
        self._way = np.append(self._way, np.array(ways, dtype=np.int64))
        ends = np.array(list(self._ways), dtype=np.int64).reshape(-1, 2)
        self._near, self._far = ends[:, 0], ends[:, 1]
        more = np.zeros(count - start)
        self._mean_ms, self._last_ms = np.append(self._mean_ms, more), np.append(self._last_ms, more)
        self._reviews, self._looks = np.append(self._reviews, more), np.append(self._looks, more)
        self._usual_ms = np.append(self._usual_ms, more)

    def _settle(self) -> None:
        """Work out what is usual from means, looks and ends."""
        seen = np.flatnonzero(self._reviews > 0)
        way, count = self._way[seen], len(self._ways)
        reviews, looks = self._reviews[seen], self._looks[seen]
        weight = np.bincount(way, reviews, count)
        known = np.flatnonzero(weight)
        mean_ms = np.bincount(way, reviews * self._mean_ms[seen], count)[known] / weight[known]
        looked = np.bincount(way, looks, count)[known].astype(np.float64)
        mean_log = np.log(np.maximum(mean_ms, _LEAST_MS))
        fit_log = _by_ends(mean_log, looked, self._near[known], self._far[known])
        chance = self._wandering.mean / looked
        # Who was seen little says little about how far links are from what their ends suggest.
        apart = max(0.0, float(np.average((mean_log - fit_log) ** 2 - chance, weights=looked))) if len(known) else 0.0
        drawn = np.divide(chance, chance + apart, out=np.zeros(len(known)), where=chance > 0)
        usual_ms = np.zeros(count)
        usual_ms[known] = mean_ms + drawn * (np.exp(fit_log) - mean_ms)
        self._usual_ms[seen] = usual_ms[way]


def _by_ends(values: Floats, weights: Floats, near: Ints, far: Ints) -> Floats:
    """Return the best sums of one number an end (and one for all) to ``values``, one a way."""
    if not len(values):
        return values
    ends = int(max(near.max(), far.max())) + 1
    level = float(np.average(values, weights=weights))
    weight = np.bincount(near, weights, ends) + np.bincount(far, weights, ends)
    share = np.zeros(ends)
    for _ in range(_FIT_ROUNDS):
        left = weights * (values - level - share[far])
        right = weights * (values - level - share[near])
        share = (np.bincount(near, left, ends) + np.bincount(far, right, ends)) / np.maximum(weight, 1.0)
    fitted: Floats = level + share[near] + share[far]
    return fitted


@dataclass(slots=True)
class _Spread:
    """The mean of all squares so far."""

    total: float = 0.0
    count: int = 0

    def add(self, squares: Floats) -> None:
        self.total += float(squares.sum())
        self.count += len(squares)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0
