"""Call blocking libcloud code from asyncio: own threads per platform, a deadline, every error translated.

libcloud drivers are not thread-safe (16 threads on one driver: 520 wrong answers in 20,000 calls), so each call
builds its own driver; that costs 0.1 ms.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from catalog.clouds import CloudAccount
from catalog.errors import CatalogError, CloudDisconnected, CloudTimedOut, CloudUnavailable
from catalog.ports import Dialer
from drivers.clouds import libcloud_prices, routed_http
from drivers.clouds.policy import CallPolicy
from drivers.clouds.routed_http import Call, Route
from drivers.clouds.translation import Redaction, Translation

T = TypeVar("T")

# Over all platforms of the process: 16 platforms may hang completely before the others feel it.
CALLS_LIMIT: Final = 64
# A call in this process brings home no more than so many answers of the longest kind would be: each page of an endless
# list is short, and a driver keeps them all. Longer lists are read by a process with a limit of its own.
ANSWERS_LIMIT_COUNT: Final = 4
_slots = threading.BoundedSemaphore(CALLS_LIMIT)


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    value: T | None
    error: CatalogError | None


class PlatformThreads:
    """The threads of one platform. A dead platform fills its own, and no other waits for it."""

    def __init__(self, name: str, policy: CallPolicy) -> None:
        self._threads = ThreadPoolExecutor(policy.threads_count, thread_name_prefix=f"cloud-{name}")
        self._limit = policy.waiting_limit
        self._lock = threading.Lock()
        self._under_way = 0
        self._closed = False

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Return the future of ``work``. Raises CloudUnavailable when too much waits already, or after close."""
        with self._lock:
            if self._closed:
                raise CloudUnavailable("the connection to this cloud was closed")
            if self._under_way >= self._limit:
                raise CloudUnavailable("too many calls to this cloud are under way")
            self._under_way += 1
            future = self._threads.submit(work)
        future.add_done_callback(self._done)
        return future

    def close(self) -> None:
        """End idle threads; busy ones end when their call returns. May be called again."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=False)

    def _done(self, _future: object) -> None:
        with self._lock:
            self._under_way -= 1


class Bridge:
    """Run blocking calls of one platform's account, each routed, guarded, limited in time and translated."""

    def __init__(self, account: CloudAccount, dialer: Dialer, policy: CallPolicy) -> None:
        routed_http.install()
        libcloud_prices.install()
        self._policy = policy
        self._route = Route(
            (account.endpoint, *account.services),
            dialer,
            body_limit_bytes=policy.body_limit_bytes,
            sockets_limit=policy.sockets_limit,
        )
        self._redaction = Redaction(account.account, account.secret)
        self._threads = PlatformThreads(account.platform, policy)

    async def call(
        self, blocking: Callable[[], T], *, repeatable: bool = False, body_limit_bytes: int | None = None
    ) -> T:
        """Return what ``blocking`` returns from one of the platform's threads.

        One that is ``repeatable`` is run once more, within the same deadline, when its connection broke: there may be
        another tunnel by then. Raises catalog errors only; CloudTimedOut after the deadline, when the outcome is
        *unknown*: the thread keeps its slot until it returns, and may still have done its work in the cloud.
        CloudUnavailable when no thread came free in time: then nothing was sent.
        """
        ends_s = time.monotonic() + self._policy.deadline_s
        bound = self._call(self._policy.deadline_s, body_limit_bytes)
        outcome = await self._once(bound, lambda: self._bound(bound, blocking), self._policy.deadline_s)
        if repeatable and isinstance(outcome.error, CloudDisconnected):
            left_s = ends_s - time.monotonic()
            again = self._call(left_s, body_limit_bytes)
            outcome = await self._once(again, lambda: self._bound(again, blocking), left_s)
        return _value(outcome)

    async def apart(self, work: Callable[[Call], T], *, deadline_s: float) -> T:
        """Return what ``work`` returns, which itself uses no library of a provider, from one of the platform's threads.

        Raises as ``call`` does; it is run once.
        """
        call = Call(self._route, deadline_s=deadline_s)
        return _value(await self._once(call, lambda: self._translated(call, lambda: work(call)), deadline_s))

    def here(self, blocking: Callable[[], T], *, deadline_s: float) -> T:
        """Return what ``blocking`` returns, run in this very thread. Raises as ``call`` does."""
        call = Call(self._route, deadline_s=deadline_s)
        try:
            return _value(self._bound(call, blocking))
        finally:
            call.cut()

    def _call(self, deadline_s: float, body_limit_bytes: int | None) -> Call:
        limit_bytes = body_limit_bytes or self._policy.body_limit_bytes
        total_bytes = ANSWERS_LIMIT_COUNT * limit_bytes
        return Call(self._route, deadline_s=deadline_s, body_limit_bytes=limit_bytes, total_limit_bytes=total_bytes)

    async def _once(self, call: Call, work: Callable[[], _Outcome[T]], deadline_s: float) -> _Outcome[T]:
        future = self._threads.submit(work)
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not call.started:
                raise CloudUnavailable("every thread of this cloud is busy; nothing was sent") from None
            raise CloudTimedOut("the cloud gave no complete answer within the deadline") from None
        finally:
            # Shuts the sockets, so that a thread left behind returns soon and frees its slot.
            call.cut()

    def clean(self, text: str, limit: int = 255) -> str:
        """Return remote ``text`` as one printable line of at most ``limit`` characters, credentials blanked out."""
        return self._redaction.clean(text, limit)

    async def close(self) -> None:
        """End the platform's idle threads."""
        self._threads.close()

    def _bound(self, call: Call, blocking: Callable[[], T]) -> _Outcome[T]:
        def work() -> T:
            with call.bound():
                return blocking()

        return self._translated(call, work)

    def _translated(self, call: Call, work: Callable[[], T]) -> _Outcome[T]:
        with Translation(call, self._redaction) as translation:
            if not _slots.acquire(timeout=call.remaining_s()):
                raise CloudUnavailable("too many calls to clouds are under way; nothing was sent")
            try:
                call.started = True
                return _Outcome(work(), call.refusal)
            finally:
                _slots.release()
        return _Outcome(None, translation.error)


def _value(outcome: _Outcome[T]) -> T:
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]  # without an error there is a value, and T may be None
