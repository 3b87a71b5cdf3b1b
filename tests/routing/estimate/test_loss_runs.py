"""What bursts say of a link: how many there are, how long they are, and what may yet come."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.loss_runs import Counts, RunEvidence
from routing.estimate.loss_verdict import Tally, counted


def evidence(run_limit: float) -> RunEvidence:
    """Weigh 0.1 % against 1 % with errors of 5 % and 10 %."""
    return RunEvidence(good_ratio=0.001, bad_ratio=0.01, false_bad=0.05, false_good=0.10, run_limit=run_limit)


EVIDENCE = evidence(10.0)


def seen(*, sent: int, lost: int = 0, bursts: int = 0, singles: int = 0, unfinished: bool = False) -> Counts:
    """Return the counts of one link; an unfinished burst is ``alone`` where all bursts are single."""
    return Counts(
        sent=np.array([sent]),
        lost=np.array([lost]),
        bursts=np.array([bursts]),
        singles=np.array([singles]),
        unfinished=np.array([unfinished]),
        alone=np.array([unfinished and bursts == singles]),
    )


def says(counts: Counts, weighing: RunEvidence = EVIDENCE) -> str:
    """Return the verdict on one link."""
    good, bad = weighing.verdicts(counts)
    return "good" if good[0] else "bad" if bad[0] else "undecided"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [pytest.param(2278, "undecided", id="too early for anybody"), pytest.param(6000, "good", id="in the end")],
)
def test_a_flawless_link_is_not_believed_too_soon(sent: int, expected: str) -> None:
    """A bad link whose bursts have ten starts one in 990 packets: it shows none in 2,278 with a chance of 10 %.

    0.01 / 0.99 / 10 = 1 / 990, and ln 10 = 2.3026 = 2,279 / 990.
    """
    assert says(seen(sent=sent)) == expected


def test_the_price_grows_with_the_run_limit() -> None:
    """With bursts of at most two, a fifth of the packets must do: ln 10 x 198 = 456, but fewer than 1,200."""
    assert says(seen(sent=455), evidence(2.0)) == "undecided"
    assert says(seen(sent=1200), evidence(2.0)) == "good"


def test_it_counts_how_losses_lie() -> None:
    """Twenty losses of 2,000 are bad when they lie apart; in two bursts of ten a good link may have them."""
    assert says(seen(sent=2000, lost=20, bursts=20, singles=20)) == "bad"
    assert says(seen(sent=2000, lost=20, bursts=2)) == "undecided"


def test_an_end_not_seen_is_no_evidence() -> None:
    """Four losses in 620 packets are not quite bad while all are known single; if the last may grow, they are."""
    four = {"sent": 620, "lost": 4, "bursts": 4, "singles": 4}
    assert says(seen(**four)) == "undecided"
    assert says(seen(**four, unfinished=True)) == "bad"


@pytest.mark.parametrize("length", [1, 2, 7, 10])
@pytest.mark.parametrize("run_limit", [1.25, 10.0])
def test_all_there_can_be_adds_up(length: int, run_limit: float) -> None:
    """For every kind of link the chances of all 2 ** n sequences of n packets add up to one."""
    tallies = [counted(Tally(), outcomes) for outcomes in product((False, True), repeat=length)]
    counts = Counts(
        sent=np.array([tally.sent for tally in tallies]),
        lost=np.array([tally.lost for tally in tallies]),
        bursts=np.array([tally.bursts for tally in tallies]),
        singles=np.array([tally.singles for tally in tallies]),
        unfinished=np.array([tally.lost > 0 and tally.quiet == 0 for tally in tallies]),
        alone=np.array([tally.alone for tally in tallies]),
    )
    for logs in evidence(run_limit).log_likelihoods(counts):
        assert np.exp(logs).sum(axis=0) == pytest.approx(np.ones(logs.shape[1]))


@given(
    come_back=st.integers(0, 50_000),
    singles=st.integers(0, 50),
    longer=st.lists(st.integers(2, 40), max_size=30),
    unfinished=st.booleans(),
    run_limit=st.sampled_from([1.25, 4.0, 10.0, 50.0]),
)
def test_never_both(come_back: int, singles: int, longer: list[int], run_limit: float, *, unfinished: bool) -> None:
    """No counts are good and bad at once, and none make a warning."""
    bursts, lost = singles + len(longer), singles + sum(longer)
    counts = seen(
        sent=lost + bursts + come_back,
        lost=lost,
        bursts=bursts,
        singles=singles,
        unfinished=unfinished and bursts > 0,
    )
    good, bad = evidence(run_limit).verdicts(counts)
    assert not (good & bad).any()
