"""Watch a link's packets until it is clear whether it is good or bad: as few as the error rates allow.

Pure: the same outcomes give the same verdict in every process, however they are cut into batches, so a stored tally
can be carried on and a stored history replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from routing.estimate.loss_boundaries import Boundaries, Demand, calibrated
from routing.estimate.loss_runs import Counts, RunEvidence
from routing.paths.graph import Bools, Ints

_T = TypeVar("_T", np.int64, np.bool_)

# For LossTest.run_limit: packets farther apart than a burst lasts are lost independently of each other.
INDEPENDENT = 1.0
# Ten times the packets after which a link without losses is good. Links on neither side of both ratios last longest.
_PACKETS_OF_LOSSLESS = 10.0
# Looking once in a hundredth of the packets between two bursts of a bad link costs a few packets in a hundred.
_LOOKS_BETWEEN_BURSTS = 100.0


class Verdict(StrEnum):
    """What the packets of a link say of it."""

    UNDECIDED = "undecided"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a test remembers of one link; a new one knows nothing.

    ``bursts`` counts losses that lie close together once, ``singles`` are the bursts of one. ``quiet`` is how many
    packets came back since the last loss, ``alone`` that its burst has no other.
    """

    sent: int = 0
    lost: int = 0
    bursts: int = 0
    singles: int = 0
    quiet: int = 0
    alone: bool = False
    verdict: Verdict = Verdict.UNDECIDED


class LossTest:
    """Tells links that lose at most ``good_ratio`` in the long run from those that lose at least ``bad_ratio``.

    A link of the first kind is called bad with a chance of at most ``false_bad``, one of the second good with at most
    ``false_good``. Of links between the two nothing is promised, and they take the most packets. After
    ``packet_limit`` packets a link stays undecided, which is no error.

    ``run_limit`` is the longest mean run of losses for which this holds. INDEPENDENT is cheapest, and right for probes
    far apart; for packets close together take ``loss.run_limit`` of what was seen of the link. It cannot be left to the
    test to find out: a bad link with long runs looks flawless for longer than a good one takes to be believed. The
    packets needed grow in proportion to it.
    """

    def __init__(
        self,
        *,
        good_ratio: float,
        bad_ratio: float,
        run_limit: float,
        false_bad: float = 0.05,
        false_good: float = 0.10,
        packet_limit: int | None = None,
    ) -> None:
        """Work out the stopping rule; takes some 20 ms the first time where losses are independent."""
        assert 0 < good_ratio < bad_ratio < 1, "a good link loses less than a bad one"
        assert run_limit >= 1, "a run has at least one loss"
        assert 0 < false_bad < 1 and 0 < false_good < 1, "no finite number of packets makes sure"  # noqa: PT018
        lossless = run_limit * -np.log(false_good) / (bad_ratio - good_ratio)
        self.packet_limit = packet_limit or int(np.ceil(_PACKETS_OF_LOSSLESS * lossless))
        # Losses nearer than the longest run belong together: within a burst, too, a packet may slip through.
        self.window = int(np.ceil(run_limit))
        self.boundaries: Boundaries | None = None
        self._evidence: RunEvidence | None = None
        self._look_every = 1
        if run_limit == INDEPENDENT:
            demand = Demand(
                good_ratio=good_ratio,
                bad_ratio=bad_ratio,
                false_bad=false_bad,
                false_good=false_good,
                packet_limit=self.packet_limit,
            )
            self.boundaries = calibrated(demand)
        else:
            self._evidence = RunEvidence(
                good_ratio=good_ratio,
                bad_ratio=bad_ratio,
                false_bad=false_bad,
                false_good=false_good,
                run_limit=run_limit,
            )
            self._look_every = max(1, int(run_limit / bad_ratio / _LOOKS_BETWEEN_BURSTS))

    def is_over(self, tally: Tally) -> bool:
        """Tell whether more packets would change nothing: there is a verdict, or there were too many without one."""
        return tally.verdict is not Verdict.UNDECIDED or tally.sent >= self.packet_limit

    def after(self, tally: Tally, lost: Sequence[bool] | Bools) -> Tally:
        """Return the tally after more packets, in the order sent; those after the end of the test are left out."""
        if self.is_over(tally) or not len(lost):
            return tally
        course = _course(tally, lost[: self.packet_limit - tally.sent], self.window)
        looks = np.flatnonzero((course.quiet == 0) | (course.sent % self._look_every == 0))
        good, bad = self._verdicts(course, looks)
        ends = np.flatnonzero(good | bad)
        if not len(ends):
            return course.tally(-1, Verdict.UNDECIDED)
        first = int(ends[0])
        return course.tally(int(looks[first]), Verdict.GOOD if good[first] else Verdict.BAD)

    def _verdicts(self, course: "_Course", looks: Ints) -> tuple[Bools, Bools]:
        sent, lost = course.sent[looks], course.lost[looks]
        if self.boundaries is not None:
            return self.boundaries.verdicts(sent, lost)
        assert self._evidence is not None, "one of the two rules is set"
        return self._evidence.verdicts(
            Counts(
                sent=sent,
                lost=lost,
                bursts=course.bursts[looks],
                singles=course.singles[looks],
                unfinished=(course.quiet[looks] < self.window) & (lost > 0),
                alone=course.alone[looks],
            )
        )


def counted(tally: Tally, lost: Sequence[bool] | Bools) -> Tally:
    """Return the tally after more packets without judging them: a history, for ``loss.run_limit``.

    Only losses next to each other are one burst in it.
    """
    return _course(tally, lost, 1).tally(-1, tally.verdict) if len(lost) else tally


def _course(tally: Tally, outcomes: Sequence[bool] | Bools, window: int) -> "_Course":
    """Return the tally after each packet; losses that are at most ``window`` packets apart are of one burst."""
    lost = np.asarray(outcomes, dtype=np.bool_)
    place = np.arange(1, len(lost) + 1)
    last_loss = np.maximum.accumulate(np.where(lost, place, -tally.quiet))
    quiet = place - last_loss
    losses = tally.lost + np.cumsum(lost)
    starts = lost & ((_before(tally.quiet, quiet) >= window) | (losses == 1))
    alone = np.where(last_loss > 0, starts[np.maximum(last_loss, 1) - 1], tally.alone)
    joins_one = lost & ~starts & _before(tally.alone, alone)
    return _Course(
        sent=tally.sent + place,
        lost=losses,
        bursts=tally.bursts + np.cumsum(starts),
        singles=tally.singles + np.cumsum(starts.astype(np.int64) - joins_one),
        quiet=quiet,
        alone=alone,
    )


def _before(first: float, after: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """Return what each packet found: ``first``, then what the one before it left."""
    return np.concatenate((np.array([first], dtype=after.dtype), after[:-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """A tally after each of many packets, as arrays."""

    sent: Ints
    lost: Ints
    bursts: Ints
    singles: Ints
    quiet: Ints
    alone: Bools

    def tally(self, place: int, verdict: Verdict) -> Tally:
        return Tally(
            sent=int(self.sent[place]),
            lost=int(self.lost[place]),
            bursts=int(self.bursts[place]),
            singles=int(self.singles[place]),
            quiet=int(self.quiet[place]),
            alone=bool(self.alone[place]),
            verdict=verdict,
        )
