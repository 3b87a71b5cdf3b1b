"""Dead letters: messages between order application and provisioner that were given up, with the reason."""

import json
from typing import Any, Final

from pydantic import Field

from catalog.errors import NotFound, QueueUnavailable
from catalog.messages.contracts import TO_ORDERS, TO_PROVISIONER, TYPES
from catalog.messages.queue import DeadLetter
from catalog.store.database import Tx
from gateway.api.bodies import Nothing, Out
from gateway.api.endpoints import Call, Listing, Routes

routes = Routes("queue")

_TOPICS: Final = (TO_PROVISIONER, TO_ORDERS)


class DeadLetterOut(Out):
    """One message that nobody handled in time, or that whoever received it always failed at."""

    id: str
    topic: str = Field(description="`provision`: for who makes machines. `settle`: for who keeps orders.")
    type: str | None = Field(description="Such as `create-machine`; null where it is no message of this release's.")
    deliveries: int
    reason: str = Field(description="The code of the error that its last delivery ended in.")
    message: Any = Field(description="What it says; null where it is no JSON.")


class RevivedOut(Out):
    """What is delivered once more."""

    id: str


@routes.probe(
    "/v1/dead-letters",
    permission="queue:read",
    answer=DeadLetterOut,
    many=True,
    errors=(QueueUnavailable,),
    summary="List the messages that were given up",
)
async def list_dead_letters(call: Call[Nothing]) -> Listing:
    """Return all of them, those of one topic after those of the other, oldest first."""
    queue = call.services.queue
    return Listing(items=[_out(each) for topic in _TOPICS for each in await queue.dead_letters(topic)])


async def _revived(call: Call[Any], replay: RevivedOut) -> None:
    for topic in _TOPICS:
        if await call.services.queue.revive(topic, replay.id):
            return
    raise NotFound(f"there is no dead letter '{replay.id}'", field="id", fix="list them: crossway queue dead")


@routes.plain(
    "POST",
    "/v1/dead-letters/{id}/replay",
    permission="queue:write",
    answer=RevivedOut,
    status=202,
    then=_revived,
    errors=(NotFound, QueueUnavailable),
    summary="Deliver a message that was given up once more, as if it were new",
)
def replay_dead_letter(tx: Tx, call: Call[Nothing]) -> RevivedOut:
    """Return what is delivered. It is safe to repeat: whatever a message asks for takes effect once."""
    del tx
    return RevivedOut(id=call.path["id"])


def _out(letter: DeadLetter) -> DeadLetterOut:
    said = _read(letter.body)
    return DeadLetterOut(
        id=letter.id,
        topic=letter.topic,
        type=str(said["type"]) if isinstance(said, dict) and said.get("type") in TYPES else None,
        deliveries=letter.deliveries,
        reason=letter.reason,
        message=said,
    )


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
