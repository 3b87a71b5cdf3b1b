"""Wake whoever waits for work in this process, so that polling is only the fallback."""

import asyncio


class Bell:
    """Rings for everybody who took a ticket before; a ring between looking for work and waiting is not missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait. Call it on the event loop's thread."""
        self._event.set()
        self._event = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """Return what to wait for; take it before looking whether there is work."""
        return self._event

    async def wait(self, ticket: asyncio.Event, timeout_s: float) -> None:
        """Return when the bell rang since ``ticket`` was taken, or after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await ticket.wait()
        except TimeoutError:
            pass
