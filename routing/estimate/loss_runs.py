"""Tell good links from bad ones where losses come in bursts of which nobody knows how long they are.

Pure. What is asked is the long-run loss ratio; how it comes about is a nuisance. The model has two kinds of losses, as
Gilbert's and Elliott's has: a share of them happens one by one, the others in bursts that end after each loss with the
same chance. Any share and any mean burst up to ``run_limit`` is possible.

The evidence for "bad" is the likelihood of what was seen, averaged over bad links of all kinds, over the largest that
any good link gives it. Whatever good link the packets truly come from, this ratio is at most a fair game on it, so it
ever reaches 1 / e with a chance of at most e (Ville's inequality; Wasserman, Ramdas and Balakrishnan, "Universal
inference", 2020). The same holds the other way round. So both error rates hold for all kinds at once and whenever one
looks, as far as the model is true: it has no kinds between those of its grid, and two bursts that lie close are counted
as one. The benchmark measures that both rates hold all the same.

The price is in packets, and it cannot be had for much less: a link that loses 1 % in runs of ten shows no loss at all
in its first 230 packets four times in five.
"""

from dataclasses import dataclass

import numpy as np

from routing.paths.graph import Bools, Floats, Ints

# Neighbouring burst lengths differ by at most a fifth: too close for the counts of any one test to tell apart.
_STEP = 0.2
# Shares of bursts that are none, but losses that happen one by one. All of them would be the same as bursts of one.
_SINGLE_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was seen of links (or of one link at several times), as arrays with one value each.

    ``singles`` of the ``bursts`` have one loss. ``unfinished`` tells that the last burst may go on, since not enough
    packets came back after it; ``alone`` that it has one loss so far.
    """

    sent: Ints
    lost: Ints
    bursts: Ints
    singles: Ints
    unfinished: Bools
    alone: Bools


class RunEvidence:
    """Weighs counts of packets, losses and bursts."""

    def __init__(
        self, *, good_ratio: float, bad_ratio: float, false_bad: float, false_good: float, run_limit: float
    ) -> None:
        """Lay out the kinds of links of both hypotheses."""
        self._to_bad, self._to_good = -np.log(false_bad), -np.log(false_good)
        self._good = _kinds(good_ratio, run_limit)
        self._bad = _kinds(bad_ratio, run_limit)

    def verdicts(self, counts: Counts) -> tuple[Bools, Bools]:
        """Return where the counts say good, and where they say bad; never both."""
        if_good, if_bad = self.log_likelihoods(counts)
        says_good = _log_mean(if_good) - if_bad.max(axis=-1) >= self._to_good
        says_bad = _log_mean(if_bad) - if_good.max(axis=-1) >= self._to_bad
        return says_good, says_bad

    def log_likelihoods(self, counts: Counts) -> tuple[Floats, Floats]:
        """Return the log of the chance of what was seen, for good links and for bad ones: (counts, kinds of links)."""
        events = _events(counts)
        return events @ self._good, events @ self._bad


def _events(counts: Counts) -> Floats:
    """Return how often each event happened whose chance _kinds gives, (counts, events), in the same order."""
    finished = counts.bursts - counts.unfinished
    # The end of an unfinished burst was not seen, so it is no evidence.
    longer, longer_unfinished = counts.bursts - counts.singles, counts.unfinished & ~counts.alone
    events = (
        counts.bursts,
        counts.sent - counts.lost - finished,
        counts.singles - (counts.unfinished & counts.alone),
        longer,
        longer - longer_unfinished,
        counts.lost - counts.bursts,
    )
    return np.stack(events, axis=-1).astype(np.float64)


def _kinds(loss_ratio: float, run_limit: float) -> Floats:
    """Return the logs of the chances of events, (events, kinds of links that lose ``loss_ratio``).

    After a packet between bursts: that a burst starts, that none does. Of a burst: that it is a single loss; that it is
    of the kind that may go on. Of those that do go on, after each loss: that it was the last, that it was not.
    """
    # Independent losses have runs too, of mean 1 / (1 - loss); shorter ones would mean that losses avoid each other.
    shortest = 1 / (1 - loss_ratio)
    longest = max(run_limit, shortest)
    lengths = np.geomspace(shortest, longest, 2 + int(np.log(longest / shortest) / _STEP))
    grid = np.meshgrid(lengths, np.array(_SINGLE_SHARES), indexing="ij")
    length, single = grid[0].ravel(), grid[1].ravel()
    start, end = loss_ratio / (1 - loss_ratio) / (single + (1 - single) * length), 1 / length
    chances = (start, 1 - start, single + (1 - single) * end, 1 - single, end, 1 - end)
    return np.asarray(np.log(np.stack(chances)))


def _log_mean(logs: Floats) -> Floats:
    """Return the log of the mean of what ``logs`` are the logs of, along the last axis, without overflow."""
    largest = logs.max(axis=-1)
    return np.asarray(largest + np.log(np.exp(logs - largest[..., None]).mean(axis=-1)))
