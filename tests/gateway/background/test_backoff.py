"""Pauses grow while something fails, and are gone when it does not."""

from gateway.background.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    """10, 20, 40, 60, 60 s; each counted from the failure before."""
    pauses: Backoff[str] = Backoff(first_s=10.0, longest_s=60.0)
    now_s = 1000.0
    for expected_s in (10.0, 20.0, 40.0, 60.0, 60.0):
        assert pauses.is_due("a", now_s)
        pauses.failed("a", now_s)
        assert not pauses.is_due("a", now_s + expected_s - 0.1)
        now_s += expected_s
    assert pauses.is_due("b", 0.0)


def test_after_a_success_it_begins_anew() -> None:
    """What was cleared is due at once, and its next pause is the first one again."""
    pauses: Backoff[str] = Backoff(first_s=10.0)
    for _ in range(5):
        pauses.failed("a", 0.0)
    pauses.cleared("a")
    pauses.cleared("never heard of")
    assert pauses.is_due("a", 0.0)
    pauses.failed("a", 0.0)
    assert pauses.is_due("a", 10.0)
