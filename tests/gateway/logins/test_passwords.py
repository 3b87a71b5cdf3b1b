"""Passwords: what is kept of them, what they cost, and how many at once."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from catalog.errors import InvalidValue
from catalog.secrets import Secret
from gateway.errors import TooManyLogins
from gateway.logins.passwords import PasswordPolicy, Passwords

CHEAP = PasswordPolicy(memory_kib=8192, passes=1, lanes=1, threads=1, waiting=2)
GOOD = Secret("correct horse battery")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Give cheap ones, on one thread."""
    made = Passwords(CHEAP)
    yield made
    made.close()


def test_the_right_password_is_let_in_and_no_other(passwords: Passwords) -> None:
    """The hash is Argon2id with the policy's cost, holds no password, and fits its own password alone."""

    async def story() -> None:
        kept = await passwords.hash(GOOD)
        assert kept.startswith("$argon2id$v=19$m=8192,t=1,p=1$")
        assert GOOD.reveal() not in kept
        assert await passwords.hash(GOOD) != kept
        assert (await passwords.check(kept, GOOD)).is_right
        for wrong in ("correct horse batter", "Correct horse battery", "", "x" * 5000):
            assert not (await passwords.check(kept, Secret(wrong))).is_right

    asyncio.run(story())


def test_by_default_a_hash_costs_what_rfc_9106_recommends() -> None:
    """64 MiB, three passes, four lanes: its second recommendation."""
    policy = PasswordPolicy()
    assert (policy.memory_kib, policy.passes, policy.lanes) == (65_536, 3, 4)


def test_nobody_is_let_in_by_the_password_of_nobody(passwords: Passwords) -> None:
    """No hash, or one that is none, is nobody's: not even the text that such a check compares with fits."""

    async def story() -> None:
        for kept in ("", "not a hash", "$argon2id$v=19$m=8,t=1,p=1$aaaa$bbbb"):
            assert not (await passwords.check(kept, GOOD)).is_right
        assert not (await passwords.check("", Secret("nobody logs in with this"))).is_right

    asyncio.run(story())


def test_a_hash_of_other_costs_is_made_anew(passwords: Passwords) -> None:
    """When the policy changed, the right password gives a fresh hash, and a wrong one none."""
    dearer = Passwords(PasswordPolicy(memory_kib=16_384, passes=1, lanes=1))

    async def story() -> None:
        old = await passwords.hash(GOOD)
        verdict = await dearer.check(old, GOOD)
        assert verdict.is_right
        assert verdict.fresh is not None
        assert "m=16384" in verdict.fresh
        assert (await dearer.check(verdict.fresh, GOOD)).fresh is None
        assert (await dearer.check(old, Secret("wrong"))).fresh is None

    asyncio.run(story())
    dearer.close()


@pytest.mark.parametrize("weak", ["", "short", "aaaaaaaaaaaaaaaa", "ababababababab", "x" * 2000])
def test_a_weak_password_is_refused(passwords: Passwords, weak: str) -> None:
    """Short, monotonous or endless: refused, and the error does not repeat it."""
    with pytest.raises(InvalidValue) as refused:
        asyncio.run(passwords.hash(Secret(weak)))
    assert refused.value.field == "password"
    assert not weak or weak not in str(refused.value)


def test_so_many_wait_and_the_next_is_sent_away_at_once(passwords: Passwords) -> None:
    """One at work and two waiting: a fourth is refused while the loop goes on; afterwards there is room again."""
    gate = threading.Event()

    async def story() -> None:
        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(passwords._on_thread(gate.wait)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(TooManyLogins):
                await passwords.check("", GOOD)
            gate.set()
            for each in held:
                await each
        assert not (await passwords.check("", GOOD)).is_right

    asyncio.run(story())
