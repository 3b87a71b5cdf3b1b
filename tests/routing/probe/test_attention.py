"""Probes go where they can change a decision: first what is in use, then who could win, the rest now and then."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.costs import Weights
from routing.estimate.table import LinkTable
from routing.probe.attention import NOBODY, Attention, AttentionPolicy, Contests, attend, moved_rows

# The cost is the round trip alone, so that it can be read off the samples.
_WEIGHTS = Weights(loss=0.0, jitter=0.0, hops=0.0)
_POLICY = AttentionPolicy(
    tolerance_ms=1.0,
    tolerance_ratio=0.01,
    deviations=2.0,
    rivals_limit=8,
    watched=1,
    move_ratio=0.1,
    move_ms=10.0,
    moved_ratio=0.2,
    in_use_samples=3,
    in_use_age_s=10.0,
    rival_age_s=30.0,
    rest_age_s=600.0,
    dead_age_s=10.0,
)
# One decision between direct and two relays: direct, and then the links of each relayed route.
_DIRECT, _TO_R, _R_ON, _TO_Q, _Q_ON = range(5)
_NAMES = (("gw", "cloud"), ("gw", "r"), ("r", "cloud"), ("gw", "q"), ("q", "cloud"))
_LINKS = np.array([[[_DIRECT, NOBODY], [_TO_R, _R_ON], [_TO_Q, _Q_ON]]])
_UNUSED = NOBODY


def _contests(in_use: int = _UNUSED) -> Contests:
    return Contests(links=_LINKS, extra_ms=np.zeros((1, 3)), in_use=np.array([in_use]))


def _table(*samples_ms: float, at_s: float = 0.0, times: int = 1) -> LinkTable:
    """Return a table of the five links that got these samples, in their order; NaN is a packet that was lost."""
    table = LinkTable()
    rows = table.rows(_NAMES)
    for _ in range(times if samples_ms else 0):
        table.absorb(rows, np.array(samples_ms), at_s)
    return table


def _asked(attention: Attention) -> dict[int, int]:
    return dict(zip(attention.rows.tolist(), attention.samples.tolist(), strict=True))


def test_what_nobody_knows_is_asked_once() -> None:
    """At a cold start every link gets one packet."""
    assert _asked(attend(_contests(), _table(), _WEIGHTS, _POLICY, 0.0)) == dict.fromkeys(range(5), 1)


def test_a_clear_winner_needs_no_more() -> None:
    """Direct takes 50 ms, the relays 200 and 300: whatever noise did, nothing would change."""
    table = _table(50.0, 100.0, 100.0, 150.0, 150.0)

    assert attend(_contests(), table, _WEIGHTS, _POLICY, 0.0).packets == 0


def test_close_rivals_are_asked_again() -> None:
    """Direct and over r are 100 and 101 ms, give or take 3 each: both ways get as many samples again, q gets none."""
    table = _table(100.0, 50.0, 51.0, 150.0, 150.0)

    assert _asked(attend(_contests(), table, _WEIGHTS, _POLICY, 0.0)) == {_DIRECT: 1, _TO_R: 1, _R_ON: 1}


def test_what_both_travel_is_not_asked() -> None:
    """Two routes over one first link differ only after it, however little is known of that link."""
    links = np.array([[[_TO_R, _R_ON], [_TO_R, _Q_ON]]])
    contests = Contests(links=links, extra_ms=np.zeros((1, 2)), in_use=np.array([_UNUSED]))
    table = _table(1.0, 100.0, 50.0, 1.0, 51.0)

    assert _asked(attend(contests, table, _WEIGHTS, _POLICY, 0.0)) == {_R_ON: 1, _Q_ON: 1}


def test_what_a_candidate_costs_beyond_its_links_counts() -> None:
    """Equal round trips, but r costs 100 ms more: nothing is left to find out."""
    table = _table(100.0, 50.0, 50.0, 150.0, 150.0)
    contests = Contests(links=_LINKS, extra_ms=np.array([[0.0, 100.0, 0.0]]), in_use=np.array([_UNUSED]))

    assert attend(contests, table, _WEIGHTS, _POLICY, 0.0).packets == 0


def test_each_turn_halves_the_rivals() -> None:
    """Of two rivals within the noise, a limit of 2 asks for both in the first turn and for the closer in the second."""
    table = _table(100.0, 50.0, 50.5, 50.0, 51.0)
    policy = AttentionPolicy(rivals_limit=2)

    first, second = (attend(_contests(), table, _WEIGHTS, policy, 0.0, turn=turn) for turn in range(2))

    assert _asked(first) == dict.fromkeys(range(5), 1)
    assert _asked(second) == {_DIRECT: 1, _TO_R: 1, _R_ON: 1}


def test_the_route_in_use_comes_first_and_alone() -> None:
    """Ten seconds on, what is in use is due; the nearest rival, due after thirty, waits for what that shows."""
    table = _table(100.0, 45.0, 45.0, 60.0, 60.0)

    assert _asked(attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 9.0)) == {}
    assert _asked(attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 10.0)) == {_TO_R: 3, _R_ON: 3}
    assert _asked(attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 30.0)) == {_TO_R: 3, _R_ON: 3}


def test_a_rival_about_to_win_is_looked_at() -> None:
    """What is in use rose to 200 ms; direct, at 100 ms ten seconds ago, must show that it still takes no more."""
    table = _table(100.0, 40.0, 40.0, 300.0, 300.0)
    _now_at(table, 15.0, {_TO_R: 100.0, _R_ON: 100.0})

    assert _asked(attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 15.0)) == {_DIRECT: 1}


def test_the_nearest_rival_is_watched() -> None:
    """However far behind, the one to flee to is looked at every 30 seconds; the one behind it is not."""
    table = _table(500.0, 40.0, 40.0, 300.0, 300.0)
    _now_at(table, 30.0, {_TO_R: 40.0, _R_ON: 40.0})

    assert _asked(attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 30.0)) == {_DIRECT: 1}


def test_neighbours_of_what_moved_are_due() -> None:
    """The first link of the route in use moved: so may have all that leave the gateway, but not what leaves q."""
    table = _table(500.0, 40.0, 40.0, 300.0, 300.0)
    rows = np.array([_TO_R, _R_ON])
    before = table.estimates(rows, 15.0)
    _now_at(table, 15.0, {_TO_R: 40.0, _R_ON: 40.0})
    moved = np.array([_TO_R])

    quiet = attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 15.0)
    shaken = attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 15.0, moved=moved)

    assert moved_rows(rows, before, table.estimates(rows, 15.0), _POLICY).tolist() == []
    assert (_asked(quiet), _asked(shaken)) == ({}, {_DIRECT: 1, _TO_Q: 1})


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "moved"),
    [
        pytest.param(100.0, 119.0, False, id="19 % are noise"),
        pytest.param(100.0, 121.0, True, id="21 % up"),
        pytest.param(100.0, 79.0, True, id="21 % down"),
        pytest.param(20.0, 29.0, False, id="45 %, but 9 ms"),
        pytest.param(np.nan, 100.0, False, id="what was unknown has not moved"),
    ],
)
def test_moved(before_ms: float, after_ms: float, *, moved: bool) -> None:
    """A link has moved when it is both a fifth and 10 ms from where it was believed to be."""
    before, after = LinkTable(), LinkTable()
    for table, sample_ms in ((before, before_ms), (after, after_ms)):
        table.absorb(table.rows([("a", "b")]), np.array([sample_ms]), 0.0)
    rows = np.array([0])

    found = moved_rows(rows, before.estimates(rows, 0.0), after.estimates(rows, 0.0), _POLICY)

    assert found.tolist() == ([0] if moved else [])


def test_a_link_that_died_has_moved() -> None:
    """Three losses in a row and the first answer after them both are news."""
    table = _table(100.0, 100.0, 100.0, 100.0, 100.0)
    rows = np.array([_DIRECT])
    alive = table.estimates(rows, 0.0)
    for _ in range(3):
        table.absorb(rows, np.array([np.nan]), 0.0)
    dead = table.estimates(rows, 0.0)

    assert moved_rows(rows, alive, dead, _POLICY).tolist() == [_DIRECT]
    assert moved_rows(rows, dead, alive, _POLICY).tolist() == [_DIRECT]


def test_the_rest_is_looked_at_rarely_and_last() -> None:
    """Links that are far from mattering are due after ten minutes, once nothing else is."""
    table = _table(50.0, 100.0, 100.0, 150.0, 150.0)
    _now_at(table, 590.0, {_DIRECT: 50.0})

    assert attend(_contests(), table, _WEIGHTS, _POLICY, 599.0).packets == 0
    assert _asked(attend(_contests(), table, _WEIGHTS, _POLICY, 600.0)) == {_TO_R: 1, _R_ON: 1, _TO_Q: 1, _Q_ON: 1}


def test_others_are_looked_at_though_no_candidate_uses_them() -> None:
    """A row beside the contests is known, kept fresh and counted like the rest."""
    table = _table(50.0, 100.0, 100.0, 150.0, 150.0)
    spare = table.row("q", "r")

    assert _asked(attend(_contests(), table, _WEIGHTS, _POLICY, 0.0, others=np.array([spare]))) == {spare: 1}


def test_dead_links_are_asked_whether_they_are_back() -> None:
    """A link that lost three packets in a row is asked once every ten seconds."""
    table = _table(50.0, 100.0, 100.0, 150.0, 150.0)
    for _ in range(3):
        table.absorb(np.array([_TO_R]), np.array([np.nan]), 0.0)

    assert attend(_contests(), table, _WEIGHTS, _POLICY, 9.0).packets == 0
    assert _asked(attend(_contests(), table, _WEIGHTS, _POLICY, 10.0)) == {_TO_R: 1}


def test_the_limit_leaves_what_is_most_urgent() -> None:
    """Four packets for a route of two links in use: three and one; the older link, here the second, comes first."""
    table = _table(100.0, 45.0, 45.0, 60.0, 60.0)
    _now_at(table, 5.0, {_TO_R: 45.0})

    assert _asked(attend(_contests(in_use=1), table, _WEIGHTS, _POLICY, 15.0, packets_limit=4)) == {_R_ON: 3, _TO_R: 1}


def test_a_quarter_is_kept_for_what_the_packets_show() -> None:
    """Four links of the rest are due and four packets left: three go now. The last packet of all is not kept."""
    table = _table(50.0, 100.0, 100.0, 150.0, 150.0)
    _now_at(table, 590.0, {_DIRECT: 50.0})

    packets = [
        attend(_contests(), table, _WEIGHTS, _POLICY, 600.0, packets_limit=limit).packets for limit in (0, 1, 4, 100)
    ]

    assert packets == [0, 1, 3, 4]


@given(
    st.lists(st.floats(1.0, 1000.0), min_size=5, max_size=5),
    st.integers(-1, 2),
    st.floats(0.0, 2000.0),
    st.integers(0, 20),
    st.integers(0, 3),
)
def test_attention_is_bounded_and_orderly(
    samples_ms: list[float], in_use: int, now_s: float, limit: int, turn: int
) -> None:
    """Whatever is known: each row at most once, at least a packet each, never beyond the limit, the same every time."""
    table = _table(*samples_ms)

    found = [
        attend(_contests(in_use), table, _WEIGHTS, _POLICY, now_s, turn=turn, packets_limit=limit) for _ in range(2)
    ]

    assert _asked(found[0]) == _asked(found[1])
    assert len(set(found[0].rows.tolist())) == len(found[0].rows)
    assert found[0].samples.min(initial=1) >= 1
    assert found[0].packets <= limit


def _now_at(table: LinkTable, at_s: float, samples_ms: dict[int, float]) -> None:
    """Give some links as many samples of one moment as make it all that speaks."""
    rows = np.array(list(samples_ms))
    for _ in range(8):
        table.absorb(rows, np.array(list(samples_ms.values())), at_s)
