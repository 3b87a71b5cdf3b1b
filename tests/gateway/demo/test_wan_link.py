"""The pure draws: loss in the set proportion and in runs of the set length, delay in order, settings refused."""

import itertools
import random

import pytest

from gateway.demo.wan.link import Fate, LinkSettings, WanError

DRAWS = 200_000


def draws(settings: LinkSettings) -> list[bool]:
    """Return the fate of many packets, the same at every run."""
    fate = Fate(settings, random.Random(7))
    return [fate.is_lost() for _ in range(DRAWS)]


def mean_run(lost: list[bool]) -> float:
    """Return the mean number of packets lost in a row."""
    runs = [len(list(group)) for is_lost, group in itertools.groupby(lost) if is_lost]
    return sum(runs) / len(runs)


def test_losses_drawn_alone_have_their_ratio_and_no_memory() -> None:
    """5 % of 200,000 is 10,000 +- 97 (one sigma); independent losses come in runs of 1 / 0.95 = 1.053."""
    lost = draws(LinkSettings(loss_ratio=0.05))

    assert sum(lost) / DRAWS == pytest.approx(0.05, abs=0.002)
    assert mean_run(lost) == pytest.approx(1.053, abs=0.02)


@pytest.mark.parametrize(("ratio", "burst"), [(0.05, 4.0), (0.2, 2.0), (0.6, 10.0)])
def test_gilbert_bursts_keep_the_ratio_and_the_mean_run(ratio: float, burst: float) -> None:
    """Runs end with chance 1/burst, so their mean is burst; they begin as often as the ratio then needs."""
    lost = draws(LinkSettings(loss_ratio=ratio, burst=burst))

    assert sum(lost) / DRAWS == pytest.approx(ratio, rel=0.05)
    assert mean_run(lost) == pytest.approx(burst, rel=0.05)


def test_no_loss_and_total_loss_are_exact() -> None:
    """0.0 loses nothing, 1.0 everything, bursts or not."""
    assert sum(draws(LinkSettings(loss_ratio=0.0, burst=5))) == 0
    assert sum(draws(LinkSettings(loss_ratio=1.0, burst=5))) == DRAWS


def test_jitter_stays_in_its_band_and_never_reorders() -> None:
    """10 +- 5 ms: packets one second apart leave 5 to 15 ms later; packets together leave in order."""
    fate = Fate(LinkSettings(delay_ms=10, jitter_ms=5), random.Random(7))
    apart = [fate.due_s(second, 100) - second for second in range(1000)]  # type: ignore[operator]
    together = [fate.due_s(2000.0, 100) for _ in range(1000)]

    assert 0.005 <= min(apart) < 0.0055
    assert 0.0145 < max(apart) <= 0.015
    assert together == sorted(together)  # type: ignore[type-var]


def test_a_shorter_delay_does_not_overtake() -> None:
    """A packet that enters after the delay fell from 500 to 10 ms waits for the one before it."""
    fate = Fate(LinkSettings(delay_ms=500), random.Random(7))
    assert fate.due_s(1.0, 100) == 1.5

    fate.settings = fate.settings.changed(delay_ms=10)

    assert fate.due_s(1.1, 100) == 1.5
    assert fate.due_s(2.0, 100) == 2.01


def test_a_slow_line_serializes_and_drops_what_would_wait_too_long() -> None:
    """At 8 Mbit/s 1,000 bytes take 1 ms; the third would wait 2 ms, which is over 1.5."""
    fate = Fate(LinkSettings(rate_mbit_s=8, queue_ms=1.5, delay_ms=100), random.Random(7))

    assert [fate.due_s(0.0, 1000) for _ in range(3)] == [pytest.approx(0.101), pytest.approx(0.102), None]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        pytest.param({"delay_ms": -1}, "delay_ms must be a finite number of 0 or more", id="negative"),
        pytest.param({"delay_ms": float("nan")}, "delay_ms must be a finite", id="not a number"),
        pytest.param({"jitter_ms": "5"}, "jitter_ms must be a number, not '5'", id="text"),
        pytest.param({"loss_ratio": 5}, "loss_ratio is a share", id="percent given for a share"),
        pytest.param({"loss_ratio": 0.9, "burst": 2}, "needs runs of at least 9.0 packets", id="impossible burst"),
        pytest.param({"delay": 5}, "unknown link setting delay; there are delay_ms", id="unit forgotten"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, float], complaint: str) -> None:
    """A wrong value is refused before it reaches a link, with the setting's name in the message."""
    with pytest.raises(WanError, match=complaint):
        LinkSettings().changed(**changes)  # type: ignore[arg-type]
