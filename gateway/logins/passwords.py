"""Passwords: hashed by Argon2id (RFC 9106) on a few threads of their own, never on the event loop or the store's.

A hash is made to be slow and to need memory, so that many at once are a way to stop a server: there are only so many
threads, only so many callers wait for one, and everybody else is sent away at once to come back later.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from catalog.errors import InvalidValue
from catalog.secrets import Secret
from gateway.errors import TooManyLogins

T = TypeVar("T")

_SHORTEST, _LONGEST = 12, 1024
_KINDS = 5  # different characters at least: "aaaaaaaaaaaa" is no password


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """What a hash costs, and how many are made at once; by default the second recommendation of RFC 9106."""

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4
    threads: int = 2
    waiting: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the password was right, and what its hash shall be from now on (None: as it is)."""

    is_right: bool
    fresh: str | None = None


class Passwords:
    """Makes and checks hashes; ``close`` gives its threads back."""

    def __init__(self, policy: PasswordPolicy) -> None:
        """Prepare for ``policy``; threads begin with the first password."""
        self._hasher = PasswordHasher(time_cost=policy.passes, memory_cost=policy.memory_kib, parallelism=policy.lanes)
        self._threads = ThreadPoolExecutor(policy.threads, thread_name_prefix="passwords")
        self._limit = policy.threads + policy.waiting
        self._under_way = 0
        self._nobodys = ""

    async def hash(self, password: Secret) -> str:
        """Return the hash to keep. Raises InvalidValue for a password that is too weak, TooManyLogins."""
        text = password.reveal()
        if not _SHORTEST <= len(text) <= _LONGEST or len(set(text)) < _KINDS:
            raise InvalidValue(
                "this is too weak a password",
                field="password",
                fix=f"{_SHORTEST} to {_LONGEST} characters, not all alike",
            )
        return await self._on_thread(lambda: self._hasher.hash(text))

    async def check(self, kept: str, password: Secret) -> Verdict:
        """Return whether ``password`` is the one whose hash was ``kept``; an empty one is nobody's.

        Takes the same time for nobody's, so that it does not tell who exists. Raises TooManyLogins.
        """
        return await self._on_thread(lambda: self._check(kept, password.reveal()[: _LONGEST + 1]))

    def close(self) -> None:
        """Give the threads back; those at work end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, kept: str, text: str) -> Verdict:
        try:
            self._hasher.verify(kept or self._of_nobody(), text)
        except (VerificationError, InvalidHashError):
            return Verdict(is_right=False)
        if not kept:
            return Verdict(is_right=False)
        return Verdict(is_right=True, fresh=self._hasher.hash(text) if self._hasher.check_needs_rehash(kept) else None)

    def _of_nobody(self) -> str:
        # Made with the present parameters, once: a check against it costs what any other check does.
        if not self._nobodys:
            self._nobodys = self._hasher.hash("nobody logs in with this")
        return self._nobodys

    async def _on_thread(self, work: Callable[[], T]) -> T:
        if self._under_way >= self._limit:
            raise TooManyLogins("too many log-ins at once", fix="wait a few seconds, then try again")
        self._under_way += 1
        try:
            # Shielded by being waited for in a thread: a caller that goes away does not free its place early.
            future = self._threads.submit(work)
            future.add_done_callback(self._done_on(asyncio.get_running_loop()))
        except BaseException:
            self._under_way -= 1
            raise
        return await asyncio.wrap_future(future)

    def _done_on(self, loop: asyncio.AbstractEventLoop) -> Callable[[object], None]:
        def leave() -> None:
            self._under_way -= 1

        def done(_future: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(leave)

        return done
