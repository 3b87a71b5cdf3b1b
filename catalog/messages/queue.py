"""What every message queue has in common: how often a message comes again, after which pauses, and what is given up."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from catalog.messages.contracts import Message, from_json

log = logging.getLogger(__name__)

NEVER_FINISHED = "never finished"  # why a message is dead whose handlers died with their process
Handler = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How often a message comes again, and the pauses between; how long a lease lasts unrenewed, where there is one."""

    lease_s: float = 30.0
    redelivery_limit: int = 10
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    poll_s: float = 1.0  # only a fallback: publishing in this process wakes the consumers

    def pause_s(self, deliveries: int) -> float:
        """Return the pause after delivery number ``deliveries`` (from 1) failed; it doubles each time."""
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(deliveries - 1, 30))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was given up, and why."""

    id: str
    topic: str
    body: str
    deliveries: int
    reason: str


async def handled(handle: Handler, body: str | bytes, *, message: object, number: int) -> str:
    """Return "" when ``handle`` took the message, else why it did not, in a word; ``number`` counts its deliveries."""
    try:
        await handle(from_json(body.decode() if isinstance(body, bytes) else body))
    except Exception as error:  # a queue runs foreign handlers: one failure must not end it
        log.warning("message not handled", extra={"id": message, "try": number}, exc_info=error)
        return getattr(error, "code", "") or type(error).__name__
    return ""
