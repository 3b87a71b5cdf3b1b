"""A route is left at once when it fails, slowly when it is merely beaten, and ever more slowly by the restless."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.candidates import Route
from routing.steadiness import CHANGES, Hold, Reason, SteadinessPolicy, Verdict, decide

A, B, C = (Route((name,), "cloud") for name in "abc")
DIRECT = Route((), "cloud")
_POLICY = SteadinessPolicy(
    move_ratio=0.1, move_ms=10.0, dearer=2.0, calm_decisions=20.0, patience=3.0, escape_ratio=1.5, usual_weight=0.1
)
_INF = float("inf")


def _verdicts(*costs_ms: dict[Route, float], hold: Hold | None = None) -> list[Verdict]:
    """Return the verdicts on one decision after the other."""
    found = []
    for each in costs_ms:
        found.append(decide(each, hold or Hold(), _POLICY))
        hold = found[-1].hold
    return found


def _in_use(route: Route, cost_ms: float, strain: float = 0.0) -> Hold:
    return Hold(in_use=route, usual_ms=cost_ms, strain=strain)


@pytest.mark.parametrize(
    ("costs_ms", "hold", "route", "reason"),
    [
        pytest.param({A: 50.0, B: 40.0}, Hold(), B, Reason.FIRST, id="first: the best, by however little"),
        pytest.param({B: 40.0, A: 40.0}, Hold(), A, Reason.FIRST, id="ties go to the smaller id"),
        pytest.param({A: _INF, B: 900.0}, Hold(), B, Reason.FIRST, id="inf cannot be used"),
        pytest.param({}, _in_use(A, 50.0), None, Reason.NOTHING, id="no candidates"),
        pytest.param({A: _INF}, _in_use(A, 50.0), None, Reason.NOTHING, id="no usable candidate"),
        pytest.param({B: 900.0, C: 950.0}, _in_use(A, 50.0), B, Reason.ESCAPED_DEAD, id="missing is dead"),
        pytest.param({A: _INF, B: 900.0}, _in_use(A, 50.0), B, Reason.ESCAPED_DEAD, id="inf is dead"),
        pytest.param({A: 50.0, B: 41.0}, _in_use(A, 50.0), A, Reason.KEPT, id="9 ms are not 10"),
        pytest.param({A: 200.0, B: 181.0}, _in_use(A, 200.0), A, Reason.KEPT, id="19 ms are not a tenth of 200"),
        pytest.param({A: 50.0, B: 39.0}, _in_use(A, 50.0), A, Reason.KEPT, id="clearly better, but only once"),
        pytest.param({A: 75.0, B: 60.0}, _in_use(A, 50.0), A, Reason.KEPT, id="half as much again is not yet worse"),
        pytest.param({A: 76.0, B: 60.0}, _in_use(A, 50.0), B, Reason.ESCAPED_WORSE, id="more is left at once"),
        pytest.param({A: 76.0, B: 68.0}, _in_use(A, 50.0), A, Reason.KEPT, id="worse, but nothing is clearly better"),
        pytest.param({A: 90.0, B: 50.0}, _in_use(A, 90.0), B, Reason.MOVED, id="40 ms outweigh three margins of 10"),
    ],
)
def test_one_decision(costs_ms: dict[Route, float], hold: Hold, route: Route | None, reason: Reason) -> None:
    """What is done by what is known at one decision."""
    verdict = decide(costs_ms, hold, _POLICY)

    assert (verdict.route, verdict.reason) == (route, reason)


def test_a_better_route_is_taken_when_staying_has_cost_three_margins() -> None:
    """12 ms saved against a margin of 10: missed are 12, 24, and 36, which is more than 30."""
    reasons = [each.reason for each in _verdicts(*[{A: 50.0, B: 38.0}] * 4, hold=_in_use(A, 50.0))]

    assert reasons == [Reason.KEPT, Reason.KEPT, Reason.MOVED, Reason.KEPT]


def test_what_was_missed_is_forgotten_once_nothing_is_clearly_better() -> None:
    """After 24 ms missed, one decision with 5 ms to gain begins the count anew."""
    better, alike = {A: 50.0, B: 38.0}, {A: 50.0, B: 45.0}

    verdicts = _verdicts(better, better, alike, better, better, hold=_in_use(A, 50.0))

    assert [each.route for each in verdicts] == [A] * 5
    assert [each.hold.missed_ms for each in verdicts] == [12.0, 24.0, 0.0, 12.0, 24.0]


def test_every_change_raises_the_margin_and_quiet_lowers_it() -> None:
    """A change adds twice 10 ms; half of that is gone after 20 decisions."""
    away, *quiet = _verdicts({A: _INF, B: 50.0}, *[{B: 50.0}] * 20, hold=_in_use(A, 40.0))

    assert away.hold.strain == 2.0
    assert quiet[-1].margin_ms == pytest.approx(10.0 + 0.5 * 20.0)


def test_a_route_that_recovered_must_save_more_than_before() -> None:
    """Back at 36 ms, A would save 14 of 50: enough without the 20 ms that the escape added, not with them."""
    calm = _verdicts(*[{A: 36.0, B: 50.0}] * 3, hold=_in_use(B, 50.0))
    after_escape = _verdicts({A: _INF, B: 50.0}, *[{A: 36.0, B: 50.0}] * 3, hold=_in_use(A, 36.0))

    assert calm[-1].route == A
    assert [each.reason for each in after_escape] == [Reason.ESCAPED_DEAD, *[Reason.KEPT] * 3]


def test_a_dead_route_is_left_however_restless_it_was() -> None:
    """No margin applies where there is nothing to keep."""
    assert decide({B: 500.0}, _in_use(A, 40.0, strain=50.0), _POLICY).reason is Reason.ESCAPED_DEAD


def test_the_connection_remembers_its_route_while_nothing_is_usable() -> None:
    """When everything was down and comes back, the route in use is kept: its tunnel may have outlived the cut."""
    down, back = _verdicts({A: _INF, B: _INF}, {A: 50.0, B: 49.0}, hold=_in_use(A, 50.0))

    assert down.hold == _in_use(A, 50.0)
    assert (back.route, back.reason) == (A, Reason.KEPT)


def test_what_is_usual_follows_slowly() -> None:
    """A route that stays at 70 instead of 50 moves what is usual by a tenth of the way: to 52, then 53.8."""
    verdicts = _verdicts({A: 70.0, B: 65.0}, {A: 70.0, B: 65.0}, hold=_in_use(A, 50.0))

    assert [each.hold.usual_ms for each in verdicts] == pytest.approx([52.0, 53.8])


_COSTS = st.dictionaries(
    st.sampled_from([DIRECT, A, B, C]), st.one_of(st.floats(0.0, 5000.0), st.just(_INF)), max_size=4
)


@given(st.lists(_COSTS, max_size=30))
def test_stored_inputs_give_the_same_verdict_bit_for_bit(history: list[dict[Route, float]]) -> None:
    """A hold that went through JSON decides like the one that did not, at every step."""
    hold = Hold()
    for costs_ms in history:
        verdict = decide(costs_ms, hold, _POLICY)
        stored = Hold.from_json(json.loads(json.dumps(hold.to_json())))
        assert stored == hold
        assert decide(dict(costs_ms), stored, _POLICY) == verdict
        hold = verdict.hold


@given(st.lists(_COSTS, min_size=1, max_size=30))
def test_a_verdict_names_a_usable_route_and_settles(history: list[dict[Route, float]]) -> None:
    """What is named can be used, the hold carries it, and on unchanged costs the next decision keeps it."""
    hold = Hold()
    for costs_ms in history:
        verdict = decide(costs_ms, hold, _POLICY)
        hold = verdict.hold
        if verdict.route is None:
            assert verdict.reason is Reason.NOTHING
            assert not any(cost_ms < _INF for cost_ms in costs_ms.values())
            continue
        assert costs_ms[verdict.route] < _INF
        assert hold.in_use == verdict.route
        if verdict.reason is not Reason.KEPT:
            again = decide(costs_ms, hold, _POLICY)
            assert (again.route, again.reason) == (verdict.route, Reason.KEPT)


@given(st.lists(st.tuples(st.floats(-4.9, 4.9), st.floats(-4.9, 4.9)), min_size=1, max_size=200))
def test_jitter_below_the_margin_changes_nothing(noise_ms: list[tuple[float, float]]) -> None:
    """Two routes of 60 ms that swing by less than 5 ms each differ by less than 10: never a change."""
    history = [{A: 60.0 + here, B: 60.0 + there} for here, there in noise_ms]

    assert not CHANGES & {each.reason for each in _verdicts(*history)}


@given(st.lists(st.tuples(st.floats(-40.0, 40.0), st.floats(-40.0, 40.0)), min_size=100, max_size=100))
def test_jitter_beyond_the_margin_changes_a_bounded_number_of_times(noise_ms: list[tuple[float, float]]) -> None:
    """Two routes of equal means, each within 40 ms: at most 15 changes in any 40 decisions, whatever the noise.

    At most 80 ms can be saved, so nobody moves at a strain beyond 7 (10 ms and 10 for each point). A change weighs 2,
    and a quarter of that 40 decisions later: a sixteenth change would find a strain of 7.5 or more.
    """
    history = [{A: 100.0 + here, B: 100.0 + there} for here, there in noise_ms]

    changed = [each.reason in CHANGES for each in _verdicts(*history)]

    assert max(sum(changed[start : start + 40]) for start in range(61)) <= 15


def test_the_worst_noise_is_damped() -> None:
    """Whoever always finds the other route 80 ms better moves four times in a row, then every seventh or eighth time.

    A move pays up to a strain of 6.6: 14 ms (a tenth of 140) and 10 for each point make 80. That is found at 0, 1.9,
    3.8 and 5.6. In the end each change lifts it from about 6.6 to 8.6, and 20 * log2(8.6 / 6.6) = 7.6 decisions calm
    it again.
    """
    hold = Hold(in_use=A, usual_ms=140.0)
    changed_at = []
    for turn in range(200):
        assert hold.in_use is not None
        verdict = decide({A: 60.0, B: 60.0} | {hold.in_use: 140.0}, hold, replace(_POLICY, patience=1.0))
        if verdict.reason in CHANGES:
            changed_at.append(turn)
        hold = verdict.hold

    assert changed_at[:5] == [0, 1, 2, 3, 8]
    assert {later - earlier for earlier, later in pairwise(changed_at[4:])} == {7, 8}
