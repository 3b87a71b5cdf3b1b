"""Do one thing over the best way there is, and over the next as soon as that one is in doubt or has failed.

What is done here must be safe to do twice: opening a socket is, and so is a request that may be repeated.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from catalog.errors import CloudError, CloudUnavailable
from routing.candidates import Route
from routing.tunnel.liveness import Health
from routing.tunnel.tunnel import Tunnel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Way:
    """A tunnel that stands, the route it takes, and the name of the site at which that ends."""

    route: Route
    tunnel: Tunnel
    exit_site: str


Ways = Callable[[], Sequence[Way]]


async def hedged(ways: Ways, attempt: Callable[[Way], Awaitable[T]], discard: Callable[[T], Awaitable[None]]) -> T:
    """Return the first result of ``attempt`` over any of ``ways``, which are asked for anew whenever one is needed.

    Each tunnel is tried once. What succeeds after another did is handed to ``discard``. Raises the CloudError of the
    last attempt when all have failed; CloudUnavailable when there is no way.
    """
    async with asyncio.TaskGroup() as group:
        race = _Race(ways, attempt, group)
        try:
            won = await race.won()
        finally:
            for late in race.stop():
                await discard(late)
    if isinstance(won, CloudError):
        raise won
    return won


class _Race(Generic[T]):
    def __init__(self, ways: Ways, attempt: Callable[[Way], Awaitable[T]], group: asyncio.TaskGroup) -> None:
        self._ways = ways
        self._attempt = attempt
        self._group = group
        self._tried: set[Tunnel] = set()
        self._running: dict[asyncio.Task[T | CloudError], Way] = {}
        self._woken = asyncio.Event()

    async def won(self) -> T | CloudError:
        """Return the first result, or the last error."""
        error: CloudError = CloudUnavailable("no tunnel to this platform stands")
        while True:
            self._woken.clear()
            for task in [task for task in self._running if task.done()]:
                self._forget(task)
                result = task.result()
                if not isinstance(result, CloudError):
                    return result
                error = result
            if all(way.tunnel.health is not Health.HEALTHY for way in self._running.values()):
                self._start_next()
            if not self._running:
                return error
            await self._woken.wait()

    def stop(self) -> list[T]:
        """Cancel what still runs; return what has succeeded all the same."""
        late = []
        for task in tuple(self._running):
            self._forget(task)
            if not task.cancel() and not task.cancelled() and not isinstance(result := task.result(), CloudError):
                late.append(result)
        return late

    def _start_next(self) -> None:
        way = next((way for way in self._ways() if way.tunnel not in self._tried), None)
        if way is not None:
            self._tried.add(way.tunnel)
            way.tunnel.listen(self._wake)
            task = self._group.create_task(self._tried_over(way))
            task.add_done_callback(self._wake)
            self._running[task] = way

    async def _tried_over(self, way: Way) -> T | CloudError:
        try:
            return await self._attempt(way)
        except CloudError as error:
            return error

    def _forget(self, task: asyncio.Task[T | CloudError]) -> None:
        self._running.pop(task).tunnel.unlisten(self._wake)

    def _wake(self, _why: object) -> None:
        self._woken.set()
