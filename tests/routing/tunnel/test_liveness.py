"""The pure judge of heartbeats: quick to suspect, slow to bury, and never fooled by loss or by our own pauses."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.tunnel.liveness import Health, LivenessPolicy, Pulse

POLICY = LivenessPolicy()

times_s = st.floats(0.0, 30.0)
took_s = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=40)


def settled(rtt_s: float, at_s: float = 100.0) -> Pulse:
    """Return a pulse after 100 answers that took ``rtt_s`` each, with no beat out."""
    pulse = Pulse.beginning(0.0)
    for number in range(100):
        pulse = pulse.asked(number * 0.1).answered(number * 0.1 + rtt_s)
    return pulse.looked(at_s, at_s)


def at(pulse: Pulse, at_s: float) -> Health:
    """Return the health of ``pulse`` at ``at_s``, looked at in time."""
    return pulse.looked(at_s, at_s).health(POLICY)


def test_a_silent_way_is_suspect_and_then_dead() -> None:
    """At 40 ms a beat of second 100 is overdue at 100.2 (the least), and its way is dead at 106 (the least)."""
    pulse = settled(0.04).asked(100.0)
    assert [at(pulse, 100.0 + after) for after in (0.0, 0.19, 0.2, 5.9, 6.0, 60.0)] == [
        Health.HEALTHY,
        Health.HEALTHY,
        Health.SUSPECT,
        Health.SUSPECT,
        Health.DEAD,
        Health.DEAD,
    ]


def test_a_long_way_is_given_longer() -> None:
    """At 350 ms all alike the bound is 350 ms: suspect then, beats at thrice that, dead after 20 bounds, 7 s."""
    pulse = settled(0.35).asked(100.0)
    assert round(pulse.interval_s(POLICY), 3) == 1.05
    assert [at(pulse, 100.0 + after) for after in (0.34, 0.36, 6.9, 7.1)] == [
        Health.HEALTHY,
        Health.SUSPECT,
        Health.SUSPECT,
        Health.DEAD,
    ]


@pytest.mark.parametrize(
    ("rtt_s", "after_s", "idle_after_s"),
    [
        pytest.param(0.01, 0.1, 0.5, id="near: the interval"),
        pytest.param(0.1, 0.3, 0.5, id="far: three round trips"),
        pytest.param(0.3, 0.9, 0.9, id="farther: idle no sooner than busy"),
        pytest.param(3.0, 2.0, 2.0, id="never later than the most that suspicion takes"),
    ],
)
def test_a_beat_comes_when_an_answer_is_late_and_seldom_otherwise(
    rtt_s: float, after_s: float, idle_after_s: float
) -> None:
    """Due after what is awaited has had time to be answered, be it a beat; long after the last word when nothing is."""
    pulse = settled(rtt_s).heard(200.0)
    assert round(pulse.next_beat_s(POLICY, 200.2), 3) == round(200.2 + after_s, 3)
    assert round(pulse.next_beat_s(POLICY, None), 3) == round(200.0 + idle_after_s, 3)
    assert round(pulse.asked(201.0).next_beat_s(POLICY, 200.2), 3) == round(201.0 + after_s, 3)


def test_a_round_trip_that_is_known_counts_from_the_beginning() -> None:
    """At 200 ms, of which one answer told, the first beat is as late, and as patient, as later ones are at first."""
    pulse = Pulse.beginning(50.0, 0.2)
    assert (round(pulse.interval_s(POLICY), 3), round(pulse.bound_s, 3)) == (0.6, 0.6)
    assert Pulse.beginning(50.0).interval_s(POLICY) == POLICY.interval_s


def test_an_answer_heals() -> None:
    """The answer to the oldest beat ends suspicion, and counts for the bound: the next one is patient for longer."""
    pulse = settled(0.04).asked(100.0)
    assert at(pulse, 100.5) is Health.SUSPECT
    healed = pulse.answered(100.5)
    assert at(healed, 100.5) is Health.HEALTHY
    # Mean 40 + 460/8 = 97.5 ms, deviation 460/4 = 115 ms.
    assert round(healed.bound_s, 4) == 0.5575


def test_anything_heard_is_a_sign_of_life() -> None:
    """A beat may wait behind an upload: packets of any kind hold off suspicion and death, for as long as they come."""
    pulse = settled(0.04).asked(100.0)
    for second in range(100, 140):
        pulse = pulse.heard(float(second))
        assert at(pulse, second + 0.19) is Health.HEALTHY
    assert at(pulse, 139 + 6.0) is Health.DEAD


def test_our_own_pause_is_not_silence() -> None:
    """This process stood still for an hour: what was to be looked at in 50 ms is judged as if it had been."""
    pulse = settled(0.04).asked(100.0)
    assert pulse.looked(3700.0, due_s=100.05).health(POLICY) is Health.HEALTHY
    assert at(pulse.looked(3700.0, due_s=100.05), 3706.0) is Health.DEAD
    # A little late is not a pause.
    assert pulse.looked(100.25, due_s=100.05).health(POLICY) is Health.SUSPECT


def test_without_a_beat_there_is_nothing_to_await() -> None:
    """A way that was not asked is not suspect, however long it says nothing."""
    pulse = settled(0.04)
    assert (pulse.suspect_at_s(POLICY), pulse.dead_at_s(POLICY)) == (None, None)
    assert at(pulse, 1e6) is Health.HEALTHY
    assert pulse.answered(200.0) is pulse


@given(took_s=took_s, early_s=times_s, later_s=times_s)
def test_silence_never_heals(took_s: list[float], early_s: float, later_s: float) -> None:
    """Whatever was measured: as long as nothing comes, health goes from healthy over suspect to dead, never back."""
    pulse = Pulse.beginning(0.0)
    for each_s in took_s:
        pulse = pulse.asked(0.0).answered(each_s)
    pulse = pulse.asked(4.0)
    order = list(Health)
    early_s, later_s = sorted((early_s, later_s))
    assert order.index(at(pulse, 4.0 + early_s)) <= order.index(at(pulse, 4.0 + later_s))


@given(took_s=took_s)
def test_death_comes_between_its_bounds(took_s: list[float]) -> None:
    """Whatever was measured, a silent way is alive after 5.9 s, dead after 8 s, and suspect after 2 s."""
    pulse = Pulse.beginning(0.0)
    for each_s in took_s:
        pulse = pulse.asked(0.0).answered(each_s)
    pulse = pulse.asked(4.0)
    assert at(pulse, 9.9) is not Health.DEAD
    assert at(pulse, 12.0) is Health.DEAD
    suspect_at_s, dead_at_s = pulse.suspect_at_s(POLICY), pulse.dead_at_s(POLICY)
    assert suspect_at_s is not None
    assert dead_at_s is not None
    assert suspect_at_s <= 6.0
    assert dead_at_s == min(max(dead_at_s, 10.0), 12.0)


def repeats_s(seed: int, *, loss: float, rtt_s: float, jitter_s: float) -> Iterator[float]:
    """Yield round trips of packets that TCP repeats after 200 ms and twice as long each time (Linux, at its best)."""
    dice = random.Random(seed)
    while True:
        took_s, patience_s = 0.0, 0.2 + rtt_s
        while dice.random() < loss:
            took_s, patience_s = took_s + patience_s, 2 * patience_s
        yield took_s + rtt_s + dice.uniform(0.0, 2 * jitter_s)


def test_loss_alone_does_not_kill() -> None:
    """Three hours of beats over 3 links of 2 % loss each way (12 % a beat) and 20 ms jitter: suspected, never dead.

    Answers come in order, so a late one holds up those behind it.
    """
    pulse, answers_s, suspected = Pulse.beginning(0.0), [], 0
    takes = repeats_s(1, loss=0.04, rtt_s=0.04, jitter_s=0.02)
    for number in range(108_000):
        now_s = number * 0.1
        while answers_s and answers_s[0] <= now_s:
            pulse = pulse.answered(answers_s.pop(0))
        pulse = pulse.looked(now_s, now_s)
        health = pulse.health(POLICY)
        assert health is not Health.DEAD
        suspected += health is Health.SUSPECT
        pulse = pulse.asked(now_s)
        here_s = now_s + sum(next(takes) for _ in range(3))
        answers_s.append(max(here_s, answers_s[-1] if answers_s else 0.0))
    assert 0 < suspected < 10_800
