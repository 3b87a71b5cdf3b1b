"""The world of ``api_world`` served from a thread, for clients that block: the typed client and the command line."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.store.database import Tx
from gateway.api.services import ApiLimits, signs_nothing
from tests.support.api_world import ApiWorld, api_world

ANSWER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedApi:
    """A running API: ``server`` as a client names it, and the seeded tokens and ids by their names."""

    server: str
    world: ApiWorld
    loop: asyncio.AbstractEventLoop

    @property
    def tokens(self) -> dict[str, str]:
        """Return the seeded tokens by role."""
        return self.world.tokens

    @property
    def ids(self) -> dict[str, str]:
        """Return the seeded things' ids."""
        return self.world.ids

    def write(self, work: Callable[[Tx], Any]) -> Any:
        """Change the database as background work does, and ring the bell that wakes who waits."""

        async def change() -> Any:
            result = await self.world.write(work)
            await self.world.services.changes.notify()
            return result

        return asyncio.run_coroutine_threadsafe(change(), self.loop).result(ANSWER_S)


@contextmanager
def served_api(
    directory: Path,
    *,
    listen: str = "127.0.0.1:0",
    limits: ApiLimits | None = None,
    sign: Callable[[bytes], bytes] = signs_nothing,
) -> Iterator[ServedApi]:
    """Serve a freshly seeded API at ``listen`` while the context lasts."""
    ready: Future[ServedApi] = Future()
    stopping: list[asyncio.Event] = []

    async def serve() -> None:
        stop = asyncio.Event()
        stopping.append(stop)
        async with api_world(directory, listen=listen, limits=limits, sign=sign) as world:
            server = listen if listen.startswith("unix:") else world.url
            ready.set_result(ServedApi(server=server, world=world, loop=asyncio.get_running_loop()))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="served-api")
    thread.start()
    served = ready.result(ANSWER_S)
    try:
        yield served
    finally:
        served.loop.call_soon_threadsafe(stopping[0].set)
        thread.join(ANSWER_S)
