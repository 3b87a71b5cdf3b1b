"""What is believed of links: near the truth after few samples, humble where little is known, quick to see a shift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.table import DEAD_AFTER, EstimatePolicy, LinkEstimate, LinkRound, LinkTable

_LINK = ("a", "b")


def _told(
    *samples_ms: float | None, at_s: float = 0.0, table: LinkTable | None = None, two_sided: bool = False
) -> LinkTable:
    """Return a table that was told these samples of one link, one after the other."""
    table = table or LinkTable()
    told = LinkRound(name=_LINK, samples_ms=samples_ms, method="icmp", two_sided=two_sided)
    table.absorb_rounds([told], at_s)
    return table


def _estimate(table: LinkTable, now_s: float = 0.0) -> LinkEstimate:
    return table.each(table.rows([_LINK]), now_s)[0]


def test_one_sample_is_believed_as_it_is() -> None:
    """40 ms is 40 ms, give or take what is usual: 3 %."""
    found = _estimate(_told(40.0))
    assert (found.rtt_ms, found.median_ms, found.smoothed_ms, found.samples) == (40.0, 40.0, 40.0, 1)
    assert found.error_ms == pytest.approx(1.2)


def test_nothing_is_known_of_a_link_that_was_only_mentioned() -> None:
    """No round trip, no bound on the error, no verdict."""
    table = LinkTable()
    row = table.row(*_LINK)
    one = table.estimates(np.array([row]), 0.0)
    assert np.isnan(one.rtt_ms[0])
    assert np.isinf(one.error_ms[0])
    assert not one.dead[0]
    found = table.each(np.array([row]), 0.0)[0]
    assert (found.rtt_ms, found.error_ms, found.measured_at_s) == (None, None, None)


def test_the_floor_shows_in_few_samples() -> None:
    """Samples of 40 ms plus an excess of mean 2 ms (5 %): eight of them come within 1 ms of 42 for most links."""
    rng = np.random.default_rng(3)
    table = LinkTable()
    rows = table.rows((str(number), "t") for number in range(2000))
    for _ in range(8):
        table.absorb(rows, 40.0 + rng.exponential(2.0, 2000), 0.0)
    found = table.estimates(rows, 0.0)
    assert abs(found.rtt_ms.mean() - 42.0) < 0.3
    assert np.mean(np.abs(found.rtt_ms - 42.0) < 1.0) > 0.9
    # Errors are honest: within two of them lies the truth, nearly always.
    assert np.mean(np.abs(found.rtt_ms - 42.0) < 2 * found.error_ms) > 0.85


def test_one_late_sample_moves_nothing_much() -> None:
    """Seven samples of 40 ms and one of 900: the link still takes 40 ms, within a tenth of a millisecond."""
    found = _estimate(_told(40.0, 40.0, 40.0, 900.0, 40.0, 40.0, 40.0, 40.0))
    assert found.rtt_ms == pytest.approx(41.0, abs=1.1)


def test_a_shift_is_seen_after_three_samples() -> None:
    """From 40 to 140 ms, and back: the three newest beyond all older ones are the truth."""
    table = _told(*[40.0] * 8)
    found = _estimate(_told(140.0, 140.0, 140.0, table=table))
    assert found.rtt_ms == pytest.approx(140.0, rel=0.05)
    assert found.samples == 3
    found = _estimate(_told(40.0, 40.0, 40.0, table=table))
    assert found.rtt_ms == pytest.approx(40.0, rel=0.05)


def test_old_samples_say_nothing_beside_new_ones() -> None:
    """Beyond the window only what is new counts, at once."""
    table = _told(*[40.0] * 8)
    found = _estimate(_told(90.0, at_s=121.0, table=table), 121.0)
    assert (found.rtt_ms, found.samples) == (90.0, 1)


@given(age_s=st.floats(0, 86_400))
def test_certainty_fades(age_s: float) -> None:
    """The older, the less certain: 2 % after a minute, on top of what was uncertain then."""
    table = _told(*[100.0] * 8)
    then, now = _estimate(table), _estimate(table, age_s)
    assert now.rtt_ms == then.rtt_ms
    assert then.rtt_ms is not None
    assert then.error_ms is not None
    assert now.error_ms == pytest.approx(np.hypot(then.error_ms, 0.02 * then.rtt_ms * np.sqrt(age_s / 60)))


@pytest.mark.parametrize("losses", range(DEAD_AFTER + 2))
def test_losses_in_a_row_are_a_dead_link(losses: int) -> None:
    """Three are, fewer are loss; one packet that comes back revives it."""
    table = _told(40.0, *[None] * losses)
    assert _estimate(table).dead == (losses >= DEAD_AFTER)
    assert not _estimate(_told(40.0, table=table)).dead


def test_loss_is_counted_and_forgotten() -> None:
    """2 of 10 lost count as a tenth, for a prior that is worth ten packets; five minutes later they weigh half."""
    table = _told(*[40.0, 40.0, None, 40.0, 40.0] * 2)
    found = _estimate(table)
    assert (found.sent, found.lost) == (10, 2)
    assert found.loss_ratio == pytest.approx(2.001 / 20)
    found = _estimate(_told(40.0, at_s=300.0, table=table), 300.0)
    assert (found.sent, found.lost) == (6.0, 1.0)


@pytest.mark.parametrize("down_s", [10.0, 600.0, 86_400.0])
def test_an_outage_is_not_loss(down_s: float) -> None:
    """However long a link was down and asked, it is believed to lose what a link that nobody asked meanwhile does."""
    asked, unasked = (_told(*[40.0] * 20, *[None] * DEAD_AFTER, at_s=0.0) for _ in range(2))
    for at_s in np.arange(10.0, down_s + 1, 10.0):
        _told(None, None, at_s=float(at_s), table=asked)
    assert _estimate(asked, down_s).dead
    back_s = down_s + 10.0
    found, expected = (_estimate(_told(40.0, at_s=back_s, table=each), back_s) for each in (asked, unasked))
    assert not found.dead
    assert (found.sent, found.lost, found.loss_ratio) == pytest.approx(
        (expected.sent, expected.lost, expected.loss_ratio)
    )


def test_loss_that_begins_is_seen_within_eight_packets() -> None:
    """After a hundred packets without loss four of the next eight are lost: that is soon more than a sixth."""
    table = _told(*[40.0] * 100)
    assert _estimate(table).loss_ratio < 0.001
    found = _estimate(_told(None, 40.0, None, 40.0, None, 40.0, None, 40.0, table=table))
    assert found.loss_ratio > 1 / 6


def test_loss_that_ceases_is_forgotten_within_two_dozen() -> None:
    """Half of forty packets were lost; after 24 that came back only these count."""
    table = _told(*[None, 40.0] * 20)
    assert _estimate(table).loss_ratio > 0.3
    assert _estimate(_told(*[40.0] * 24, table=table)).loss_ratio < 0.001


def test_differences_err_to_either_side() -> None:
    """Where samples are differences the least is no floor: the middle of 18, 20 and 22 is 20."""
    assert _estimate(_told(18.0, 20.0, 22.0, two_sided=True)).rtt_ms == 20.0
    one_sided = _estimate(_told(18.0, 20.0, 22.0)).rtt_ms
    assert one_sided is not None
    assert one_sided < 20.0


def test_rows_stay_as_the_table_grows() -> None:
    """A thousand links later the first is where it was, and known as before."""
    table = _told(40.0)
    rows = table.rows((str(number), "x") for number in range(1000))
    assert len(set(rows.tolist())) == 1000
    assert table.row(*_LINK) == 0
    assert _estimate(table).rtt_ms == 40.0
    assert table.nbytes > 0


@given(
    samples=st.lists(st.one_of(st.none(), st.floats(0.01, 5000)), min_size=1, max_size=30),
    step_s=st.floats(0, 200),
)
def test_whatever_is_told_the_belief_is_sane(samples: list[float | None], step_s: float) -> None:
    """The round trip lies between the least and the greatest sample, the loss in [0, 1], and errors are no NaN."""
    table = LinkTable(EstimatePolicy())
    for turn, sample in enumerate(samples):
        _told(sample, at_s=turn * step_s, table=table)
    found = _estimate(table, len(samples) * step_s)
    came = [sample for sample in samples if sample is not None]
    assert 0 <= found.loss_ratio <= 1
    assert (found.rtt_ms is None) == (not came)
    if found.rtt_ms is not None:
        assert min(came) * (1 - 1e-9) <= found.rtt_ms <= max(came) * (1 + 1e-9)
        assert found.error_ms is not None
        assert found.error_ms >= 0


def test_what_may_be_lost_is_told_with_its_bounds() -> None:
    """0 lost of 100 leaves 2.95 % believable; an hour later anything is; what was never sent leaves all open."""
    table = LinkTable(EstimatePolicy(loss_half_life_s=300.0))
    _told(*[40.0] * 100, table=table)
    fresh, old = _estimate(table), _estimate(table, 3600.0)
    assert fresh.loss_least == old.loss_least == 0.0
    assert fresh.loss_most == pytest.approx(0.0295, abs=1e-4)
    assert old.loss_most == pytest.approx(1.0, abs=0.2)
    other = table.each(table.rows([("a", "c")]), 0.0)[0]
    assert (other.loss_least, other.loss_most) == (0.0, 1.0)


def test_losses_in_a_row_say_less_than_their_number() -> None:
    """Eight lost of 64 leave a narrower range when they came one by one than when they came in one burst."""
    single = _estimate(_told(*([None] + [40.0] * 7) * 8))
    burst = _estimate(_told(*[40.0] * 28, *[None] * 8, *[40.0] * 28))
    for found in (single, burst):
        assert found.loss_least < found.loss_ratio < found.loss_most  # type: ignore[operator]
    assert burst.loss_least < single.loss_least < single.loss_most < burst.loss_most  # type: ignore[operator]
