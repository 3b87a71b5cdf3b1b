"""Calls a minute: no minute whatever sees more than were granted, and who is refused is told when to come again."""

from collections.abc import Sequence

import pytest

from catalog.errors import CallsExhausted
from catalog.model.consent import Grant
from catalog.model.ids import ConnectionId, GrantId, PlatformId
from gateway.connections.call_rates import MINUTE_S, CallRates


def grant(calls_per_minute: int | None, name: str = "grant_1") -> Grant:
    """Return a grant that says so much of calls."""
    return Grant(
        id=GrantId(name), platform_id=PlatformId("p"), connection_id=ConnectionId("c"), request_id="r",
        capability="machine", calls_per_minute=calls_per_minute,
    )  # fmt: skip


def admitted(rates: CallRates, held: Grant, moments_s: Sequence[float]) -> list[float]:
    """Return the moments at which a call was admitted, of those at which one was tried."""
    passed = []
    for now_s in moments_s:
        try:
            rates.take(held, now_s)
        except CallsExhausted:
            continue
        passed.append(now_s)
    return passed


@pytest.mark.parametrize("limit", [1, 10, 23, 60, 600])
def test_no_minute_sees_more_than_is_granted(limit: int) -> None:
    """Tried every 20 ms for five minutes: each stretch of a minute has at most so many, and over half are used."""
    tried = [step / 50 for step in range(50 * 300)]
    passed = admitted(CallRates(), grant(limit), tried)
    for first, moment in enumerate(passed):
        within = [each for each in passed[first:] if each < moment + MINUTE_S]
        assert len(within) <= limit
    assert len(passed) >= 5 * limit * 0.6


def test_who_is_refused_may_come_again_when_it_was_told() -> None:
    """Of 60 a minute 6 come at once; the next has to wait, a whole second and no more, and is then let in."""
    rates, held = CallRates(), grant(60)
    assert admitted(rates, held, [0.0] * 6) == [0.0] * 6
    with pytest.raises(CallsExhausted) as refused:
        rates.take(held, 0.0)
    assert refused.value.retry_after_s == 2  # 1 call at 55 a minute is there after 1.1 s
    assert "again in 2 s" in str(refused.value.fix)
    rates.take(held, 2.0)


def test_grants_do_not_share_and_silence_is_no_limit() -> None:
    """Another grant's calls take none of this one's; where nothing is said of calls, any number passes."""
    rates = CallRates()
    assert admitted(rates, grant(1), [0.0] * 3) == [0.0]
    assert admitted(rates, grant(1, "grant_2"), [0.0] * 3) == [0.0]
    assert admitted(rates, grant(None, "grant_3"), [0.0] * 1000) == [0.0] * 1000
    rates.take(None, 0.0)


def test_narrower_terms_apply_to_what_is_left() -> None:
    """A bucket of sixty calls at once is one of five as soon as ten a minute are granted."""
    rates = CallRates()
    rates.take(grant(600), 0.0)
    assert admitted(rates, grant(10), [0.0] * 9) == [0.0] * 5


def test_a_clock_that_is_set_back_gives_nothing_away() -> None:
    """Set back by an hour: no call more than without."""
    assert admitted(CallRates(), grant(1), [5000.0, 1400.0, 5000.0 - 3600.0]) == [5000.0]
