"""Keep what is believed of every link: one row a link, fed by samples, read as arrays.

Pure state: no I/O and no clock of its own. Thousands of links are absorbed and read in one call; the derived columns
are kept up to date as samples come in, so that reading costs a gather.

A round trip is modelled as a floor (the way itself) plus an excess that is never negative (queues). The floor shows in
the least of a few samples, so a handful settles a link that a mean would need dozens for; the excess is drawn towards
what is usual on all links until the link's own samples outweigh that. Excess is read off the median, so that one late
wake-up of this process does not move a link.

The floor is that of the newest samples only: a way that is restless is elsewhere a minute later, and the least of a
minute's samples is what it was at its best, not what it is. The excess is a property of the link, and keeps.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from routing.estimate.columns import LOSS_PRIOR_LOST, LOSS_PRIOR_SENT, Columns
from routing.estimate.loss import bounds, design_effect, faded
from routing.estimate.samples import MEDIAN_ERROR, RING, SPREAD_OF_EXCESS, Ordered
from routing.paths.graph import Bools, Floats, Ints

LinkName = tuple[str, str]

# So many newest samples beyond all older ones are a shift of the way, not noise: by chance alone that is one in 56.
_SHIFT = 3
# A shift smaller than this changes no decision and is not worth forgetting samples for.
_SHIFT_RATIO = 1.02
# How many samples the usual excess counts for: as much as a full ring.
_PRIOR_SAMPLES = 8.0
# Links whose own excess outweighs the first guess of what is usual.
_PRIOR_LINKS = 256.0
# How fast certainty fades: an unwatched link may have drifted by 2 % after a minute, 15 % after an hour.
_DRIFT_RATIO_PER_SQRT_S = 0.02 / 60**0.5
# So many losses in a row are a link that is down, not one that loses packets.
DEAD_AFTER = 3
# What the loss of the newest packets must be to be news: three of eight, and three times what was usual (at 5 % that
# happens by chance once in 170 windows); or none of 24 where six were to be expected (once in 400).
_LAST_8, _LAST_24 = np.uint64((1 << 8) - 1), np.uint64((1 << 24) - 1)
_MANY_OF_8, _TIMES_MORE, _SURELY = 3, 3, 6
# RFC 6298: how fast the smoothed round trip and its deviation follow.
_SMOOTH_RTT, _SMOOTH_DEVIATION = 1 / 8, 1 / 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatePolicy:
    """How long samples speak.

    ``window_s``: for the round trip, beside a newer sample; shorter than the time between reviews, so that each review
    believes what it saw. ``excess_window_s``: for excess and jitter. ``loss_half_life_s``: until a count weighs half.
    """

    window_s: float = 10.0
    excess_window_s: float = 120.0
    loss_half_life_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstimates:
    """What is believed of some links at one moment; arrays with one value a link.

    ``rtt_ms`` is NaN where nothing ever came back. ``error_ms`` is one standard error of ``rtt_ms`` and grows with
    ``age_s`` (inf where nothing came back). ``dead`` links lost their last three samples. ``samples`` counts what
    speaks for ``rtt_ms`` now.
    """

    rtt_ms: Floats
    error_ms: Floats
    jitter_ms: Floats
    loss_ratio: Floats
    age_s: Floats
    samples: Ints
    dead: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEstimate:
    """What is believed of one link; see LinkEstimates. ``smoothed_ms`` and ``median_ms`` are for the reader.

    ``sent`` and ``lost`` are counts in which old packets weigh less; ``measured_at_s`` is None before the first.
    ``loss_least`` and ``loss_most`` are what those counts, faded since, leave believable at 95 % each; losses that came
    in runs leave more. None in what was stored before they were told.
    ``method`` and ``note`` are those of the last round: how it was measured, and the error code when it could not be.
    """

    source: str
    target: str
    method: str
    note: str
    rtt_ms: float | None
    error_ms: float | None
    median_ms: float | None
    smoothed_ms: float | None
    jitter_ms: float
    loss_ratio: float
    sent: float
    lost: float
    samples: int
    dead: bool
    measured_at_s: float | None
    loss_least: float | None = None
    loss_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRound:
    """What one round of probes said about one link: samples in the order sent, None for a packet that was lost.

    ``two_sided``: samples are differences of two measurements, and err to either side; there the least is no floor.
    """

    name: LinkName
    samples_ms: Sequence[float | None]
    method: str
    note: str = ""
    two_sided: bool = False


class LinkTable:
    """Every link anybody mentioned, numbered in that order; rows stay valid for the table's life."""

    def __init__(self, policy: EstimatePolicy | None = None) -> None:
        """Start knowing nothing."""
        self.policy = policy or EstimatePolicy()
        self.names: list[LinkName] = []
        self._row_of: dict[LinkName, int] = {}
        self._methods: list[str] = []
        self._notes: list[str] = []
        self._excess_ratio = 0.03
        self._of = Columns.empty(64)

    def row(self, source: str, target: str) -> int:
        """Return the row of the link, a new one when it was never mentioned."""
        name = (source, target)
        row = self._row_of.get(name)
        if row is None:
            row = self._row_of[name] = len(self.names)
            self.names.append(name)
            self._methods.append("")
            self._notes.append("")
            if row >= len(self._of.sent):
                self._of = self._of.grown()
        return row

    def rows(self, names: Iterable[LinkName]) -> Ints:
        """Return the rows of several links, in their order."""
        return np.array([self.row(*name) for name in names], dtype=np.int64)

    def absorb(self, rows: Ints, samples_ms: Floats, at_s: float) -> None:
        """Take in one sample for each of ``rows``, which differ from one another; NaN is a packet that was lost."""
        back = ~np.isnan(samples_ms)
        self._count(rows, ~back, at_s)
        came, values = rows[back], samples_ms[back]
        if not len(came):
            return
        place = self._of.place[came]
        self._of.ring[came, place] = values
        self._of.ring_at[came, place] = at_s
        self._of.place[came] = (place + 1) % RING
        self._smooth(came, values)
        self._settle(came, at_s)

    def absorb_rounds(self, rounds: Sequence[LinkRound], at_s: float) -> None:
        """Take in what one round of probes said about different links; the n-th samples of all go in together."""
        rows = [self.row(*each.name) for each in rounds]
        for row, each in zip(rows, rounds, strict=True):
            self._methods[row], self._notes[row] = each.method, each.note
            self._of.two_sided[row] = each.two_sided
        for turn in range(max((len(each.samples_ms) for each in rounds), default=0)):
            told = [place for place, each in enumerate(rounds) if len(each.samples_ms) > turn]
            samples_ms = [rounds[place].samples_ms[turn] for place in told]
            self.absorb(
                np.array([rows[place] for place in told]),
                np.array([np.nan if sample is None else sample for sample in samples_ms]),
                at_s,
            )

    def estimates(self, rows: Ints, now_s: float) -> LinkEstimates:
        """Return what is believed of ``rows`` at ``now_s``."""
        age_s = np.maximum(0.0, now_s - self._of.seen_at[rows])
        rtt_ms = self._of.rtt[rows]
        drift_ms = _DRIFT_RATIO_PER_SQRT_S * np.nan_to_num(rtt_ms)
        with np.errstate(invalid="ignore"):
            error_ms = np.sqrt(self._of.error[rows] ** 2 + drift_ms**2 * age_s)
        return LinkEstimates(
            rtt_ms=rtt_ms,
            error_ms=np.where(np.isnan(rtt_ms), np.inf, error_ms),
            jitter_ms=self._of.jitter[rows],
            loss_ratio=self._of.loss[rows],
            age_s=age_s,
            samples=self._of.samples[rows],
            dead=self._of.streak[rows] >= DEAD_AFTER,
        )

    def each(self, rows: Ints, now_s: float) -> tuple[LinkEstimate, ...]:
        """Return everything that is believed of each of ``rows``."""
        of, found = self._of, self.estimates(rows, now_s)
        least, most = self.loss_bounds(rows, now_s)
        columns = {
            "error_ms": found.error_ms,
            "median_ms": of.median[rows],
            "smoothed_ms": of.smoothed[rows],
            "jitter_ms": found.jitter_ms,
            "loss_ratio": np.where(found.dead, 1.0, found.loss_ratio),
            "sent": of.sent[rows],
            "lost": of.lost[rows],
            "samples": found.samples,
            "dead": found.dead,
            "loss_least": least,
            "loss_most": most,
        }
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        facts = (dict(zip(columns, each, strict=True)) for each in values)
        measured = zip(rows.tolist(), facts, found.rtt_ms.tolist(), of.seen_at[rows].tolist(), strict=True)
        return tuple(self._told(*each) for each in measured)

    def _told(self, row: int, facts: dict[str, Any], rtt_ms: float, seen_at_s: float) -> LinkEstimate:
        source, target = self.names[row]
        if math.isnan(rtt_ms):
            facts |= {"rtt_ms": None, "error_ms": None, "median_ms": None, "smoothed_ms": None}
        else:
            facts["rtt_ms"] = rtt_ms
        return LinkEstimate(
            source=source,
            target=target,
            method=self._methods[row],
            note=self._notes[row],
            measured_at_s=seen_at_s if math.isfinite(seen_at_s) else None,
            **facts,
        )

    def loss_bounds(self, rows: Ints, now_s: float) -> tuple[Floats, Floats]:
        """Return the least and the largest loss ratio believable of ``rows`` at ``now_s``; they widen with age."""
        of, half_life_s = self._of, self.policy.loss_half_life_s
        age_s = now_s - of.seen_at[rows]
        sent, lost = (faded(counts[rows], age_s, half_life_s) for counts in (of.sent, of.lost))
        runs = np.bitwise_count(of.outcomes[rows] & ~(of.outcomes[rows] << np.uint64(1)))
        mean_run = np.bitwise_count(of.outcomes[rows]) / np.maximum(1, runs)
        return bounds(lost, sent, design_effect=design_effect(mean_run, of.loss[rows]))

    def measured_rows(self, first: int = 0) -> Ints:
        """Return the rows from ``first`` on that were ever measured, in their order."""
        return first + np.flatnonzero(self._of.seen_at[first : len(self.names)] > -np.inf)

    @property
    def nbytes(self) -> int:
        """How many bytes the columns take, names not counted."""
        return sum(getattr(self._of, each.name).nbytes for each in fields(self._of))

    def _count(self, rows: Ints, lost: Bools, at_s: float) -> None:
        """Keep the counts, old packets fading, and the loss ratio they make.

        What a link loses while it is down says nothing of what it will lose when it is up again: counted, an outage
        would keep the link unusable for long after it.
        """
        of = self._of
        age_s, half_life_s = at_s - of.seen_at[rows], self.policy.loss_half_life_s
        # The round that showed it counts as a whole: a burst of losses begins in the same way.
        told = ~(lost & (of.streak[rows] >= DEAD_AFTER) & (at_s > of.fell_at[rows]))
        of.sent[rows] = faded(of.sent[rows], age_s, half_life_s) + told
        of.lost[rows] = faded(of.lost[rows], age_s, half_life_s) + (lost & told)
        of.outcomes[rows] = np.where(
            told, (of.outcomes[rows] << np.uint64(1)) | lost.astype(np.uint64), of.outcomes[rows]
        )
        of.streak[rows] = np.where(lost, of.streak[rows] + 1, 0)
        of.fell_at[rows] = np.where(of.streak[rows] == DEAD_AFTER, at_s, of.fell_at[rows])
        of.seen_at[rows] = at_s
        self._forget_other_losses(rows)
        of.loss[rows] = (of.lost[rows] + LOSS_PRIOR_LOST) / (of.sent[rows] + LOSS_PRIOR_SENT)

    def _forget_other_losses(self, rows: Ints) -> None:
        """Let only the newest packets count where a link began to lose packets, or ceased to."""
        of = self._of
        ratio = of.lost[rows] / of.sent[rows]
        newest = np.bitwise_count(of.outcomes[rows] & _LAST_8)
        began = (newest >= _MANY_OF_8) & (newest > _TIMES_MORE * 8 * ratio) & (of.sent[rows] > 8)  # noqa: PLR2004
        ceased = (np.bitwise_count(of.outcomes[rows] & _LAST_24) == 0) & (of.lost[rows] * 24 > _SURELY * of.sent[rows])
        for changed, count in ((began, 8), (ceased & (of.sent[rows] > 24), 24)):  # noqa: PLR2004
            of.sent[rows[changed]] = count
            of.lost[rows[changed]] = newest[changed] if count == 8 else 0.0  # noqa: PLR2004

    def _smooth(self, rows: Ints, samples_ms: Floats) -> None:
        """Keep the smoothed round trip of RFC 6298, which starts at its first sample."""
        of = self._of
        first = np.isnan(of.smoothed[rows])
        before = np.where(first, samples_ms, of.smoothed[rows])
        of.smoothed[rows] = before + _SMOOTH_RTT * (samples_ms - before)

    def _settle(self, rows: Ints, at_s: float) -> None:
        """Work out round trip, its standard error and jitter from the rings."""
        of = self._of
        newest_first = (of.place[rows][:, None] - 1 - np.arange(RING)) % RING
        ring = of.ring[rows[:, None], newest_first]
        taken_at_s = of.ring_at[rows[:, None], newest_first]
        ring[taken_at_s < at_s - self.policy.excess_window_s] = np.nan
        self._forget_shifted(rows, ring, newest_first)
        fresh = Ordered.of(np.where(taken_at_s < at_s - self.policy.window_s, np.nan, ring))
        kept = Ordered.of(ring)
        two_sided = of.two_sided[rows]
        own_ms = kept.excess_ms()
        # A floor of nothing (a proxy that answers for another) tells nothing about what is usual.
        shown = (kept.least_ms > 0) & ~two_sided
        self._learn_usual(kept.count, np.divide(own_ms, kept.least_ms, out=np.full(len(rows), np.nan), where=shown))
        usual_ms = self._excess_ratio * fresh.least_ms
        weight = (kept.count - 1) / (kept.count - 1 + _PRIOR_SAMPLES)
        excess_ms = weight * own_ms + (1 - weight) * usual_ms
        # A single sample far below all others makes a floor of its own; no belief goes beyond what was seen.
        one_sided_ms = np.minimum(fresh.least_ms + excess_ms * (1 - 1 / fresh.count), fresh.most_ms)
        of.rtt[rows] = np.where(two_sided, fresh.median_ms, one_sided_ms)
        of.median[rows] = fresh.median_ms
        of.samples[rows] = fresh.count
        # The floor of n samples lies one n-th of the excess above the truth, give or take as much; to that comes
        # how little the excess itself is known.
        spread_ms = kept.spread_ms()
        of.error[rows] = np.where(
            two_sided,
            (weight * spread_ms + (1 - weight) * usual_ms) * MEDIAN_ERROR / np.sqrt(fresh.count),
            excess_ms * np.sqrt(1 / fresh.count**2 + weight**2 / fresh.count),
        )
        of.jitter[rows] = weight * spread_ms + (1 - weight) * SPREAD_OF_EXCESS * usual_ms

    def _forget_shifted(self, rows: Ints, ring: Floats, newest_first: Ints) -> None:
        """Drop what is older than a shift of the way, from ``ring`` and for good."""
        newest, older = ring[:, :_SHIFT], ring[:, _SHIFT:]
        with np.errstate(invalid="ignore"):
            up = newest.min(axis=1) > _SHIFT_RATIO * np.fmax.reduce(older, axis=1)
            down = _SHIFT_RATIO * newest.max(axis=1) < np.fmin.reduce(older, axis=1)
        enough = np.sum(~np.isnan(older), axis=1) >= _SHIFT
        shifted = np.flatnonzero((up | down) & enough)
        ring[shifted, _SHIFT:] = np.nan
        self._of.ring[rows[shifted][:, None], newest_first[shifted][:, _SHIFT:]] = np.nan

    def _learn_usual(self, count: Ints, ratios: Floats) -> None:
        """Move the usual excess towards what links with half a ring of samples show."""
        shown = ratios[(count >= RING // 2) & np.isfinite(ratios)]
        if len(shown):
            rate = len(shown) / (len(shown) + _PRIOR_LINKS)
            self._excess_ratio += rate * (float(shown.mean()) - self._excess_ratio)
