"""Tell good links from bad ones where packets are lost independently: when to stop, and exactly how often that errs.

Pure. The stopping rule is Wald's sequential probability ratio test, which needs the fewest packets of all tests with
its error rates (Wald and Wolfowitz 1948). Its textbook thresholds, though, count on stopping right at a threshold,
and a lost packet jumps far across: the error rates come out at half of what is allowed, paid for in packets. Here the
rates of a rule are computed, packet by packet, and the thresholds are drawn in until they are used up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.signal import lfilter

from routing.paths.graph import Bools, Floats, Ints

# Halvings when a threshold is sought: to a thousandth, where a packet more or less is a hundredth.
_HALVINGS = 12
# A lower threshold on one side moves the other's error rate a little; a third round changes nothing any more.
_ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristic:
    """What a rule does on links of one loss ratio: how often it ends in which verdict, after how many packets."""

    good: float
    bad: float
    mean_packets: float

    @property
    def undecided(self) -> float:
        """Return how often neither verdict is reached before the packets run out."""
        return max(0.0, 1 - self.good - self.bad)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boundaries:
    """When to stop, by the number of packets lost so far: one entry each for 0, 1, 2 ... lost.

    A link is bad as soon as so many are lost of at most ``bad_within`` sent (-1: never), and good once ``good_from``
    are sent with so few lost. The last entry also speaks for all larger losses, which are bad at any time.
    """

    bad_within: Ints
    good_from: Ints
    packet_limit: int

    def verdicts(self, sent: Ints, lost: Ints) -> tuple[Bools, Bools]:
        """Return where the counts say good, and where they say bad."""
        place = np.minimum(lost, len(self.bad_within) - 1)
        return sent >= self.good_from[place], sent <= self.bad_within[place]

    def characteristic(self, loss_ratio: float) -> Characteristic:
        """Return what the rule does on links that lose ``loss_ratio`` of their packets, each independently. Exact.

        For each number of losses the chance to stand there after n packets follows from the chances of one loss less:
        the packets that come back between two losses only thin it out, which is a linear filter.
        """
        limit, back = self.packet_limit, 1 - loss_ratio
        good = bad = mean_packets = 0.0
        arriving = np.zeros(limit + 1)  # by packets sent: the chance that this very packet was the last loss so far
        arriving[0] = 1.0
        for bad_within, good_from in zip(self.bad_within, self.good_from, strict=True):
            first = min(int(bad_within), limit) + 1
            bad += float(arriving[:first].sum())
            arriving[:first] = 0.0
            standing: Floats = np.asarray(lfilter([1.0], [1.0, -back], arriving))
            if good_from <= limit:
                # With more losses the boundary lies later, so none arrives beyond it.
                good += float(standing[good_from])
                standing[good_from:] = 0.0
            mean_packets += float(standing[:limit].sum())
            arriving[1:] = loss_ratio * standing[:-1]
            arriving[0] = 0.0
        return Characteristic(good=good, bad=bad, mean_packets=mean_packets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked of a rule.

    A link that loses ``good_ratio`` is called bad with a chance of at most ``false_bad``; one that loses ``bad_ratio``
    is called good with a chance of at most ``false_good``. Nobody sends more than ``packet_limit`` packets.
    """

    good_ratio: float
    bad_ratio: float
    false_bad: float
    false_good: float
    packet_limit: int

    def rule(self, to_bad: float, to_good: float) -> Boundaries:
        """Return where the log of the likelihood ratio, bad over good, rises to ``to_bad`` or falls to -``to_good``.

        Each loss adds ``up`` to it, each packet that comes back takes ``down`` away.
        """
        up, down = np.log(self.bad_ratio / self.good_ratio), np.log((1 - self.good_ratio) / (1 - self.bad_ratio))
        # So many losses are bad even when they are the last of all packets.
        always = int(np.ceil((to_bad + self.packet_limit * down) / (up + down)))
        lost = np.arange(always + 1)
        bad_within = np.where(lost * up >= to_bad, np.floor(lost + (lost * up - to_bad) / down), -1).astype(np.int64)
        return Boundaries(
            bad_within=np.minimum(bad_within, self.packet_limit),
            good_from=np.ceil(lost + (lost * up + to_good) / down).astype(np.int64),
            packet_limit=self.packet_limit,
        )

    def least_to_bad(self, to_good: float) -> float:
        """Return the least threshold with which good links are called bad no more often than allowed."""
        return _least(
            lambda tried: self.rule(tried, to_good).characteristic(self.good_ratio).bad <= self.false_bad,
            largest=-np.log(self.false_bad),
        )

    def least_to_good(self, to_bad: float) -> float:
        """Return the least threshold with which bad links are called good no more often than allowed."""
        return _least(
            lambda tried: self.rule(to_bad, tried).characteristic(self.bad_ratio).good <= self.false_good,
            largest=-np.log(self.false_good),
        )


@lru_cache(maxsize=64)
def calibrated(demand: Demand) -> Boundaries:
    """Return the rule that errs just as often as ``demand`` allows, and so stops as early as it can.

    Takes some 20 ms the first time; more where the two ratios are close and packets many.
    """
    # With ln(1 / error rate) on one side, its error rate holds whatever the other side is: a search starts feasible.
    to_good = -np.log(demand.false_good)
    for _ in range(_ROUNDS):
        to_bad = demand.least_to_bad(to_good)
        to_good = demand.least_to_good(to_bad)
    return demand.rule(to_bad, to_good)


def _least(holds: Callable[[float], bool], *, largest: float) -> float:
    """Return the least threshold that ``holds``, by halving; it holds at ``largest``."""
    failing, holding = 0.0, largest
    for _ in range(_HALVINGS):
        middle = (failing + holding) / 2
        failing, holding = (failing, middle) if holds(middle) else (middle, holding)
    return holding
