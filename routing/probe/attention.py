"""Decide which links deserve the next probes. Pure: what is believed, and who depends on it, in; packets by link out.

Probes are spent where they can change a decision: on the links by which a rival differs from the route that leads (what
both travel cancels out), and only while the difference is less certain than it must be. Uncertainty shrinks with
samples and grows with age, so one rule serves a cold start (every link once, then fewer and fewer rivals, more
samples each) and the steady state (the route in use often, its rivals when their age makes them possible again, the
rest rarely).
"""

from dataclasses import dataclass

import numpy as np

from routing.estimate.costs import Weights, link_costs_ms
from routing.estimate.samples import RING
from routing.estimate.table import LinkEstimates, LinkTable
from routing.paths.graph import Floats, Ints

NOBODY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """The candidate routes of one or many decisions, as rows of the link table.

    ``links`` is (decisions, candidates, links), padded with -1. ``extra_ms`` (decisions, candidates) is what a
    candidate costs beyond delay, loss and jitter of its links; inf where there is no such candidate. ``in_use``
    (decisions) is the candidate in use, -1 for none.
    """

    links: Ints
    extra_ms: Floats
    in_use: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionPolicy:
    """How certain a decision must be, and how old what is known may grow.

    A rival is settled once it cannot be better by more than ``tolerance_ms`` or ``tolerance_ratio`` of the leader's
    cost, at ``deviations`` standard errors. ``move_ratio`` and ``move_ms`` say by how much a rival must beat the route
    in use; a link that turns out to be ``moved_ratio`` and ``move_ms`` from where it was has moved. Whatever the
    distance, the ``watched`` cheapest rivals are looked at every ``rival_age_s``: they are where one flees to.
    """

    tolerance_ms: float = 1.0
    tolerance_ratio: float = 0.01
    deviations: float = 2.0
    rivals_limit: int = 8
    watched: int = 2
    move_ratio: float = 0.1
    move_ms: float = 10.0
    moved_ratio: float = 0.2
    in_use_samples: int = 3
    in_use_age_s: float = 10.0
    rival_age_s: float = 30.0
    rest_age_s: float = 600.0
    dead_age_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Rows of the link table and how many packets each gets, the most urgent first."""

    rows: Ints
    samples: Ints

    @property
    def packets(self) -> int:
        """How many packets it is in all."""
        return int(self.samples.sum())


@dataclass(frozen=True, slots=True)
class _Known:
    """What is believed of the rows in play; ``place`` finds a row's index, the last index is padding (cost 0)."""

    rows: Ints
    cost_ms: Floats
    error_ms: Floats
    samples: Ints
    age_s: Floats
    unsettled: Ints  # packets wanted merely to know the link at all

    def place(self, rows: Ints) -> Ints:
        found = np.searchsorted(self.rows, rows)
        return np.where(rows < 0, len(self.rows), found)


def attend(
    contests: Contests,
    table: LinkTable,
    weights: Weights,
    policy: AttentionPolicy,
    now_s: float,
    *,
    turn: int = 0,
    others: Ints | None = None,
    moved: Ints | None = None,
    packets_limit: int | None = None,
) -> Attention:
    """Return what to probe now so that the decisions become, or stay, as certain as the policy wants.

    ``turn`` counts the rounds of one cold start: each halves the rivals that are looked at. ``others`` are further
    rows that are worth a look now and then, ``moved`` are rows that ``moved_rows`` told of: links from the same nodes
    are due. Nothing to probe: nothing more would be learned. One call asks for one thing, since what it shows decides
    what to ask next: the route in use and links nobody knows; or else a rival about to be chosen, neighbours of what
    moved, and rivals by how much they could change; or else the rest. At most ``packets_limit`` packets, in that
    order, and among equals the oldest first; but only what one call must know first may take them all.
    """
    in_play = contests.links if others is None else np.union1d(contests.links, others)
    known = _known(in_play, table, weights, policy, now_s)
    places = known.place(contests.links)
    wanted = np.zeros(len(known.rows) + 1, dtype=np.int64)
    urgency = np.zeros(len(known.rows) + 1)
    _want(wanted, urgency, np.arange(len(known.rows)), known.unsettled, _UNKNOWN)
    _want_rest(wanted, urgency, known, policy)
    field = _Field(contests, known, places, policy)
    _want_rivals(wanted, urgency, field, max(1, policy.rivals_limit >> turn))
    _want_watched(wanted, urgency, field)
    if moved is not None:
        _want_neighbours(wanted, urgency, field, _leaving_the_same(known.rows, moved, table))
    _want_about_to_win(wanted, urgency, field)
    _want_in_use(wanted, urgency, field)
    stages = np.digitize(urgency, _STAGES) * (wanted > 0)
    chosen = np.flatnonzero((wanted[:-1] > 0) & (stages[:-1] == stages.max()))
    chosen = chosen[np.lexsort((known.rows[chosen], -known.age_s[chosen], -urgency[chosen]))]
    samples = wanted[chosen]
    if packets_limit is not None:
        if stages.max() < _FIRST_STAGE:
            packets_limit -= packets_limit // _KEPT_BACK
        samples = np.minimum(samples, np.maximum(0, packets_limit - (np.cumsum(samples) - samples)))
        chosen, samples = chosen[samples > 0], samples[samples > 0]
    return Attention(rows=known.rows[chosen], samples=samples)


def moved_rows(rows: Ints, before: LinkEstimates, after: LinkEstimates, policy: AttentionPolicy) -> Ints:
    """Return which of ``rows`` a round of probes showed to be elsewhere than believed, or to be down or up again.

    What was unknown before has not moved.
    """
    with np.errstate(invalid="ignore"):
        by_ms = np.abs(after.rtt_ms - before.rtt_ms)
        far = by_ms >= np.maximum(policy.move_ms, policy.moved_ratio * before.rtt_ms)
    found: Ints = rows[(before.samples > 0) & (far | (after.dead != before.dead))]
    return found


# Urgency by kind; rivals lie between, by the milliseconds at stake (capped below a kind's width).
_REST, _RIVAL, _NEIGHBOUR, _ABOUT_TO_WIN, _UNKNOWN, _IN_USE = 1.0, 2.0, 3.0, 4.0, 5.0, 6.0
# Where one call's kinds end and another's begin: the rest, rivals and what is near them, what must be known first.
_STAGES = (0.0, 1.25, 4.5)
_FIRST_STAGE = 3
# One in so many packets is kept for the next call: who is about to win shows only then, and must be looked at.
_KEPT_BACK = 4


def _known(rows_in_play: Ints, table: LinkTable, weights: Weights, policy: AttentionPolicy, now_s: float) -> _Known:
    rows = np.unique(rows_in_play)
    rows = rows[rows >= 0]
    found = table.estimates(rows, now_s)
    never = found.samples == 0
    due = np.where(found.dead, found.age_s >= policy.dead_age_s, never)
    return _Known(
        rows=rows,
        cost_ms=np.append(link_costs_ms(found, weights), 0.0),
        error_ms=np.append(np.where(np.isfinite(found.error_ms), weights.delay * found.error_ms, 0.0), 0.0),
        samples=np.append(found.samples, 0),
        age_s=np.append(found.age_s, 0.0),
        unsettled=due.astype(np.int64),
    )


def _want(wanted: Ints, urgency: Floats, places: Ints, samples: Ints, kind: Floats | float) -> None:
    """Note packets for ``places``; where several reasons meet, the most packets and the greatest urgency hold."""
    np.maximum.at(wanted, places, samples)
    np.maximum.at(urgency, places, np.where(samples > 0, kind, 0.0))


def _want_rest(wanted: Ints, urgency: Floats, known: _Known, policy: AttentionPolicy) -> None:
    age_s = known.age_s[:-1]
    old = np.flatnonzero((age_s >= policy.rest_age_s) & np.isfinite(age_s))
    oldest_first = _REST - policy.rest_age_s / np.maximum(age_s[old], policy.rest_age_s) / 2
    _want(wanted, urgency, old, np.ones(len(old), dtype=np.int64), oldest_first)


def _want_in_use(wanted: Ints, urgency: Floats, field: "_Field") -> None:
    known, contests, policy = field.known, field.contests, field.policy
    used = np.flatnonzero(contests.in_use >= 0)
    travelled = np.unique(field.places[used, contests.in_use[used]])
    travelled = travelled[travelled < len(known.rows)]
    due = travelled[known.age_s[travelled] >= policy.in_use_age_s]
    _want(wanted, urgency, due, np.full(len(due), policy.in_use_samples), _IN_USE)


def _want_watched(wanted: Ints, urgency: Floats, field: "_Field") -> None:
    """Note a packet for each old link of the cheapest candidates, where a route is in use."""
    used = np.flatnonzero(field.contests.in_use >= 0)
    cost_ms = field.known.cost_ms[field.places[used]].sum(axis=2) + field.contests.extra_ms[used]
    # One more than watched: the route in use is mostly among them, and has its own, stricter rule.
    nearest = np.argsort(cost_ms, axis=1, kind="stable")[:, : field.policy.watched + 1]
    links = np.unique(np.take_along_axis(field.places[used], nearest[:, :, None], axis=1))
    links = links[links < len(field.known.rows)]
    old = links[field.known.age_s[links] >= field.policy.rival_age_s]
    _want(wanted, urgency, old, np.ones(len(old), dtype=np.int64), _RIVAL)


def _want_neighbours(wanted: Ints, urgency: Floats, field: "_Field", near: Ints) -> None:
    """Note a packet for each link ``near`` one that moved: what they share (an access, a machine) may be what did."""
    old = near[field.known.age_s[near] >= field.policy.in_use_age_s]
    _want(wanted, urgency, old, np.ones(len(old), dtype=np.int64), _NEIGHBOUR)


def _want_about_to_win(wanted: Ints, urgency: Floats, field: "_Field") -> None:
    """Note a packet for each old link of a rival that clearly beats the route in use: nobody moves on hearsay."""
    used = np.flatnonzero(field.contests.in_use >= 0)
    cost_ms = field.known.cost_ms[field.places[used]].sum(axis=2) + field.contests.extra_ms[used]
    leader, margin_ms = _pivots(cost_ms, field.contests.in_use[used], field.policy)
    winning = (margin_ms == 0) & np.isfinite(cost_ms.min(axis=1))
    links = np.unique(field.places[used[winning], leader[winning]])
    links = links[links < len(field.known.rows)]
    old = links[field.known.age_s[links] >= field.policy.in_use_age_s]
    _want(wanted, urgency, old, np.ones(len(old), dtype=np.int64), _ABOUT_TO_WIN)


def _leaving_the_same(rows: Ints, moved: Ints, table: LinkTable) -> Ints:
    """Return the places in ``rows`` of links that leave the same nodes as ``moved``."""
    shaken = {table.names[row][0] for row in moved.tolist()}
    return np.flatnonzero([table.names[row][0] in shaken for row in rows.tolist()]) if shaken else moved[:0]


@dataclass(frozen=True, slots=True)
class _Field:
    """The contests with what is known of their links."""

    contests: Contests
    known: _Known
    places: Ints
    policy: AttentionPolicy


def _want_rivals(wanted: Ints, urgency: Floats, field: _Field, rivals: int) -> None:
    """Note packets for the links by which the ``rivals`` most promising rivals of a decision differ from its pivot."""
    if field.contests.links.shape[1] < 2:  # noqa: PLR2004  a single candidate has no rival
        return
    known, places = field.known, field.places
    cost_ms = known.cost_ms[places].sum(axis=2) + field.contests.extra_ms
    pivot, margin_ms = _pivots(cost_ms, field.contests.in_use, field.policy)
    decisions = np.arange(len(cost_ms))
    pivotal = places[decisions, pivot][:, None, :]
    # A link that pivot and rival share says nothing about which is better.
    theirs = (places[:, :, :, None] != pivotal[:, :, None, :]).all(axis=3)
    ours = (pivotal[:, :, :, None] != places[:, :, None, :]).all(axis=3)
    square = known.error_ms**2
    pivotal_square = np.broadcast_to(square[pivotal], places.shape)
    error_ms = np.sqrt((square[places] * theirs).sum(axis=2) + (pivotal_square * ours).sum(axis=2))
    with np.errstate(invalid="ignore"):
        distance_ms = np.abs(cost_ms - cost_ms[decisions, pivot][:, None] + margin_ms[:, None])
    pivot_ms = np.nan_to_num(cost_ms[decisions, pivot], posinf=0.0)
    tolerance_ms = np.maximum(field.policy.tolerance_ms, field.policy.tolerance_ratio * pivot_ms)
    at_stake_ms = field.policy.deviations * error_ms - distance_ms - tolerance_ms[:, None]
    at_stake_ms[decisions, pivot] = -np.inf
    at_stake_ms[~np.isfinite(cost_ms)] = -np.inf
    best = np.argsort(-at_stake_ms, axis=1, kind="stable")[:, :rivals]
    which, rank = np.nonzero(np.take_along_axis(at_stake_ms, best, axis=1) > 0)
    rival = best[which, rank]
    stake = _RIVAL + 0.5 * np.tanh(at_stake_ms[which, rival] / 100)
    for differs, links in ((theirs, places), (ours, np.broadcast_to(pivotal, places.shape))):
        touched, end = links[which, rival], differs[which, rival] & (links[which, rival] < len(known.rows))
        _want(wanted, urgency, touched[end], _more(field, touched[end]), np.repeat(stake, end.sum(axis=1)))


def _pivots(cost_ms: Floats, in_use: Ints, policy: AttentionPolicy) -> tuple[Ints, Floats]:
    """Return, by decision, the candidate that rivals are compared with, and by how much they must beat it, in ms.

    It is the route in use, unless the leader beats that clearly: then what matters is whether the leader leads.
    """
    leader = cost_ms.argmin(axis=1)
    decisions = np.arange(len(cost_ms))
    used_ms = np.where(in_use >= 0, cost_ms[decisions, in_use], np.inf)
    margin_ms = np.where(np.isfinite(used_ms), np.maximum(policy.move_ms, policy.move_ratio * used_ms), 0.0)
    kept = np.isfinite(used_ms) & (cost_ms[decisions, leader] > used_ms - margin_ms)
    return np.where(kept, in_use, leader), np.where(kept, margin_ms, 0.0)


def _more(field: _Field, places: Ints) -> Ints:
    """Return how many packets more these links get: as many again as they have, up to a full ring that is fresh."""
    samples, age_s = field.known.samples[places], field.known.age_s[places]
    more = np.clip(np.minimum(samples, RING - samples), 0, None)
    return np.where(age_s >= field.policy.rival_age_s, np.maximum(1, more), more)
