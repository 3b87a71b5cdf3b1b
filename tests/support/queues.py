"""Messages to send through a queue, and a handler that remembers what it was handed."""

import asyncio

from catalog.messages.contracts import DestroyMachine, Message
from catalog.model.ids import MachineId, MessageId, PlatformId


def message(number: int) -> Message:
    """Return message ``number``."""
    return DestroyMachine(
        id=MessageId(f"message_{number:03}"),
        created_at_s=1.0,
        machine=MachineId("machine_M"),
        platform=PlatformId("platform_P"),
    )


class Handler:
    """Keeps what it was handed, fails the first ``failures`` times, and waits at ``gate`` if there is one."""

    def __init__(self, *, failures: int = 0, expect: int = 1, gate: asyncio.Event | None = None) -> None:
        self.handled: list[str] = []
        self.at_once = self.most_at_once = 0
        self.all_here = asyncio.Event()
        self._failures, self._expect, self._gate = failures, expect, gate

    async def __call__(self, received: Message) -> None:
        """Take one message."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.handled.append(received.id)
        if len(self.handled) >= self._expect:
            self.all_here.set()
        try:
            if self._gate is not None:
                await self._gate.wait()
            if self._failures:
                self._failures -= 1
                raise ValueError("the handler's own trouble")
        finally:
            self.at_once -= 1
