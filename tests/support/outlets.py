"""A queue of which only publishing is used: where the provisioner's results go."""

import asyncio
from collections.abc import Awaitable, Callable

from catalog.messages.contracts import MachineCreated, Message


class Outlet:
    """Keeps what was published, once per id; ``created`` is set by the first machine that was made."""

    def __init__(self) -> None:
        self.published: dict[str, Message] = {}
        self.created = asyncio.Event()

    async def publish(self, topic: str, message: Message) -> None:
        """Keep it."""
        assert topic == "settle"
        self.published[message.id] = message
        if isinstance(message, MachineCreated):
            self.created.set()

    async def consume(self, topic: str, handle: Callable[[Message], Awaitable[None]], *, concurrency: int = 4) -> None:  # noqa: ARG002
        """Never deliver anything."""
        await asyncio.Event().wait()

    def results(self, kind: type[Message]) -> list[Message]:
        """Return what was published of ``kind``."""
        return [each for each in self.published.values() if isinstance(each, kind)]
