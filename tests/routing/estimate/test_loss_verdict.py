"""A test of a link ends when it is clear whether it is good or bad; it errs no more often than allowed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.loss import bounds
from routing.estimate.loss_verdict import INDEPENDENT, LossTest, Tally, Verdict, counted
from routing.paths.graph import Bools

SINGLE = LossTest(good_ratio=0.001, bad_ratio=0.01, run_limit=INDEPENDENT)
BURSTY = LossTest(good_ratio=0.001, bad_ratio=0.01, run_limit=10.0)
# So coarse that a few dozen packets decide.
COARSE = [
    LossTest(good_ratio=0.05, bad_ratio=0.5, run_limit=INDEPENDENT),
    LossTest(good_ratio=0.05, bad_ratio=0.5, run_limit=3.0),
]


def packets(pattern: str) -> list[bool]:
    """Return outcomes: ``x`` is lost, ``.`` came back."""
    return [each == "x" for each in pattern]


def gilbert(loss_ratio: float, mean_run: float, seed: int) -> Iterator[Bools]:
    """Yield batches of a link's packets; losses come in runs of ``mean_run`` and are ``loss_ratio`` in the long run."""
    rng = np.random.default_rng(seed)
    mean_gap = mean_run * (1 - loss_ratio) / loss_ratio
    lost = bool(rng.random() < loss_ratio)
    while True:
        # Neither kind of run remembers how long it has lasted, so it may start afresh with each batch.
        lengths = [int(rng.geometric(1 / (mean_gap if turn % 2 == lost else mean_run))) for turn in range(10)]
        yield np.concatenate([np.full(length, turn % 2 != lost) for turn, length in enumerate(lengths)])


def wrong(test: LossTest, loss_ratio: float, mean_run: float, verdict: Verdict) -> float:
    """Return the least share of links that ends in ``verdict`` and agrees, at 99.9 %, with 300 simulated ones."""
    found = 0
    for seed in range(300):
        source, tally = gilbert(loss_ratio, mean_run, seed), Tally()
        while not test.is_over(tally):
            tally = test.after(tally, next(source))
        found += tally.verdict is verdict
    return float(bounds(found, 300, 0.999)[0])


@pytest.mark.parametrize("mean_run", [1.5, 4.0, 10.0])
def test_errors_hold_in_bursts(mean_run: float) -> None:
    """Whatever the mean run, good links are called bad at most in 5 % and bad ones good at most in 10 %."""
    assert wrong(BURSTY, 0.001, mean_run, Verdict.BAD) <= 0.05
    assert wrong(BURSTY, 0.01, mean_run, Verdict.GOOD) <= 0.10


def test_independence_must_not_be_taken_for_granted() -> None:
    """In runs of ten a bad link starts one in 990 packets: it is flawless for 249 with a chance of e^-0.25 = 78 %."""
    assert wrong(SINGLE, 0.01, 10.0, Verdict.GOOD) > 0.5


def test_a_flawless_link_is_good() -> None:
    """Each packet that comes back says ln(0.999 / 0.99) = 0.00905; 249 of them say 2.25, just under ln 10 = 2.30."""
    tally = SINGLE.after(Tally(), [False] * 1000)
    assert tally == Tally(sent=249, quiet=249, verdict=Verdict.GOOD)


def test_two_losses_are_bad_and_one_is_not() -> None:
    """A loss says ln 10 = 2.3 and the verdict takes 2.15; but for one that comes late the packets before speak too."""
    assert SINGLE.after(Tally(), packets("....................x")).verdict is Verdict.UNDECIDED
    tally = SINGLE.after(Tally(), packets("....................x.x...."))
    assert (tally.verdict, tally.sent) == (Verdict.BAD, 23)


@given(st.lists(st.booleans(), max_size=150), st.lists(st.integers(0, 150), max_size=6), st.sampled_from(COARSE))
def test_batches_do_not_matter(outcomes: list[bool], cuts: list[int], test: LossTest) -> None:
    """However packets are cut into batches, down to single ones, the tally is the same."""
    edges = sorted({0, len(outcomes), *(min(cut, len(outcomes)) for cut in cuts)})
    whole, cut, single = test.after(Tally(), outcomes), Tally(), Tally()
    for start, end in pairwise(edges):
        cut = test.after(cut, outcomes[start:end])
    for each in outcomes:
        single = test.after(single, [each])
    assert whole == cut == single


def test_a_flawless_link_is_good_at_the_same_packet_however_it_is_fed() -> None:
    """Where the test looks at every tenth packet, batches of seven do not shift its looks."""
    tally = Tally()
    while not BURSTY.is_over(tally):
        tally = BURSTY.after(tally, [False] * 7)
    assert tally == BURSTY.after(Tally(), [False] * 10_000)
    assert tally.verdict is Verdict.GOOD


def test_a_tally_can_be_stored() -> None:
    """A tally written as JSON in the middle carries on as if nothing had happened."""
    outcomes = packets("..x" * 2 + "." * 60 + "xx" + "." * 100)
    stored = json.dumps(asdict(BURSTY.after(Tally(), outcomes[:50])))
    fields = json.loads(stored)
    again = Tally(**(fields | {"verdict": Verdict(fields["verdict"])}))
    assert BURSTY.after(again, outcomes[50:]) == BURSTY.after(Tally(), outcomes)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param(".....", Tally(sent=5, quiet=5), id="no loss"),
        pytest.param("x", Tally(sent=1, lost=1, bursts=1, singles=1, alone=True), id="at once"),
        pytest.param("..x..", Tally(sent=5, lost=1, bursts=1, singles=1, quiet=2, alone=True), id="one"),
        pytest.param("x.x", Tally(sent=3, lost=2, bursts=2, singles=2, alone=True), id="apart"),
        pytest.param("xx.xxx..x", Tally(sent=9, lost=6, bursts=3, singles=1, alone=True), id="several"),
        pytest.param("x.xx.", Tally(sent=5, lost=3, bursts=2, singles=1, quiet=1), id="the last is longer"),
    ],
)
def test_counted(pattern: str, expected: Tally) -> None:
    """A history counts losses next to each other as one burst."""
    assert counted(Tally(), packets(pattern)) == expected


@pytest.mark.parametrize(
    ("gap", "bursts", "singles"),
    [pytest.param(9, 1, 0, id="ten apart"), pytest.param(10, 2, 2, id="eleven apart")],
)
def test_near_losses_are_one_burst(gap: int, bursts: int, singles: int) -> None:
    """With runs of up to ten, a loss at most ten packets after another belongs to its burst."""
    tally = BURSTY.after(Tally(), [True, *[False] * gap, True])
    assert (tally.bursts, tally.singles) == (bursts, singles)


def test_nothing_is_counted_after_the_end() -> None:
    """A link that has its verdict keeps it, and so does one that ran out of packets without."""
    bad = SINGLE.after(Tally(), packets("xx"))
    assert SINGLE.after(bad, [False] * 500) is bad
    short = LossTest(good_ratio=0.001, bad_ratio=0.01, run_limit=INDEPENDENT, packet_limit=100)
    out = short.after(Tally(), [False] * 500)
    assert out == Tally(sent=100, quiet=100)
    assert short.is_over(out)
    assert not short.is_over(replace(out, sent=99))


def test_no_packets_change_nothing() -> None:
    """An empty batch is allowed."""
    tally = Tally(sent=5, quiet=5)
    assert SINGLE.after(tally, []) == counted(tally, []) == tally


@pytest.mark.parametrize(
    "change", [{"good_ratio": 0.02}, {"good_ratio": 0.0}, {"run_limit": 0.5}, {"false_bad": 0.0}, {"false_good": 1.0}]
)
def test_what_cannot_be_tested(change: dict[str, float]) -> None:
    """Ratios the wrong way round, runs of less than one loss and certainty are refused."""
    limits = {"good_ratio": 0.001, "bad_ratio": 0.01, "run_limit": 2.0, "false_bad": 0.05, "false_good": 0.1}
    with pytest.raises(AssertionError):
        LossTest(**(limits | change))
