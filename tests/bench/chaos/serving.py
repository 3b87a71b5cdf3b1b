"""An application that says every tenth of its messages three times: ``python serving.py serve|provision CONFIG``.

It is the product's own program with one adapter exchanged.
"""

import itertools
import sys
from pathlib import Path
from typing import Any

from catalog.messages.contracts import Message
from catalog.ports import MessageQueue
from gateway.compose.adapters import Adapters
from gateway.programs import provision, serve

_EVERY = 10


class Stammering:
    """A queue that is told every tenth message three times, as by somebody whose confirmations get lost."""

    def __init__(self, queue: MessageQueue) -> None:
        self._queue = queue
        self._numbers = itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        """Everything but publishing."""
        return getattr(self._queue, name)

    async def publish(self, topic: str, message: Message) -> None:
        """Publish it once, or three times."""
        for _ in range(3 if next(self._numbers) % _EVERY == 0 else 1):
            await self._queue.publish(topic, message)


def stammering(queue: MessageQueue) -> MessageQueue:
    """Return what publishes to ``queue``, stammering."""
    over: Any = Stammering(queue)  # the rest of the protocol is passed on
    return over  # type: ignore[no-any-return]


if __name__ == "__main__":
    program, config = sys.argv[1:]
    sys.exit({"serve": serve, "provision": provision}[program](Path(config), Adapters(over_queue=stammering)))
