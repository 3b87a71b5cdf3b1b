"""Tell waiting requests that something changed: a bounded, payload-free bell."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class ChangeNotifier:
    """Rings after every write; who waits reads again and looks whether it was about them.

    Whoever writes past the API calls ``notify`` too; a waiter is never told what changed, so it cannot be told wrong.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._closed = False
        self.count = 0
        self.waiting = 0

    async def notify(self) -> None:
        """Wake everybody who waits. To be called on the event loop's thread, after the commit."""
        async with self._changed:
            self.count += 1
            self._changed.notify_all()

    async def close(self) -> None:
        """End every wait, now and later: the process is going down."""
        self._closed = True
        await self.notify()

    @property
    def closed(self) -> bool:
        """Whether waiting has become pointless."""
        return self._closed

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count one more who waits while the block lasts: feeds wait for as long as they are open."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def wait_beyond(self, seen: int, *, timeout_s: float) -> None:
        """Wait until ``count`` is no longer ``seen``, at most ``timeout_s``. Take ``seen`` before reading."""
        with self.reading():
            try:
                async with asyncio.timeout(timeout_s), self._changed:
                    await self._changed.wait_for(lambda: self._closed or self.count != seen)
            except TimeoutError:
                pass
