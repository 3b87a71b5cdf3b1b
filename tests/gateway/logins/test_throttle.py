"""How often one may try: buckets that empty, fill again, and lock nobody out for ever."""

import pytest

from gateway.errors import TooManyLogins
from gateway.logins.throttle import Rate, Throttle

FEW = Rate(burst=3, every_s=10.0)
MANY = Rate(burst=100, every_s=1.0)


def tries(throttle: Throttle, user: str, address: str, now_s: float, *, known: bool = False) -> int:
    """Return how many tries are let through in a row, up to ten."""
    for count in range(10):
        try:
            throttle.take(user, address, now_s, is_known_there=known)
        except TooManyLogins:
            return count
    return 10


def test_a_user_is_guarded_from_many_addresses_and_its_bucket_fills_again() -> None:
    """Three tries for mara from wherever, then one each ten seconds; another user is not concerned."""
    throttle = Throttle(by_user=FEW, by_address=MANY)
    for number in range(3):
        throttle.take("mara", f"address {number}", 0.0, is_known_there=False)
    with pytest.raises(TooManyLogins) as refused:
        throttle.take("mara", "address 9", 0.0, is_known_there=False)
    assert refused.value.retry_after_s == 10.0
    assert tries(throttle, "lee", "address 9", 0.0) == 3
    assert tries(throttle, "mara", "address 9", 10.0) == 1
    assert tries(throttle, "mara", "address 9", 1000.0) == 3


def test_no_stranger_locks_out_who_logs_in_from_a_known_address() -> None:
    """While a stranger keeps mara's bucket empty, she is let try from where she was let in before."""
    throttle = Throttle(by_user=FEW, by_address=MANY)
    assert tries(throttle, "mara", "stranger", 0.0) == 3
    assert tries(throttle, "mara", "her desk", 0.0, known=True) == 3


def test_one_address_tries_so_many_users_and_no_more() -> None:
    """Three tries from one address, whoever they are for; a log-in that succeeds costs nothing."""
    throttle = Throttle(by_user=MANY, by_address=FEW)
    for number in range(20):
        throttle.take(f"user {number}", "office", 0.0, is_known_there=False)
        throttle.give_back(f"user {number}", "office", 0.0, is_known_there=False)
    for number in range(3):
        throttle.take(f"user {number}", "office", 0.0, is_known_there=False)
    with pytest.raises(TooManyLogins):
        throttle.take("user 3", "office", 0.0, is_known_there=False)


def test_the_addresses_of_one_network_are_one_place() -> None:
    """Whoever holds an IPv6 network has no fresh bucket for each of its addresses; the next network has its own."""
    throttle = Throttle(by_user=MANY, by_address=FEW)
    for number in range(3):
        throttle.take(f"user {number}", f"2001:db8::{number}:1", 0.0, is_known_there=False)
    assert tries(throttle, "lee", "2001:db8::ffff", 0.0) == 0
    assert tries(throttle, "lee", "2001:db8:0:1::1", 0.0) == 3


def test_who_was_let_in_before_keeps_the_own_bucket_within_the_network() -> None:
    """A known user's own bucket is the network's too, so that a stranger who moves within it wins nothing."""
    throttle = Throttle(by_user=FEW, by_address=MANY)
    assert tries(throttle, "mara", "2001:db8::1", 0.0, known=True) == 3
    assert tries(throttle, "mara", "2001:db8::2", 0.0, known=True) == 0
