"""Messages that were given up can be seen, with why, and delivered once more."""

import asyncio
from pathlib import Path

from catalog.errors import CloudMisbehaved
from catalog.messages.contracts import TO_ORDERS, TO_PROVISIONER, Message
from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.queue import QueuePolicy
from tests.support.api_world import ApiWorld, api_world
from tests.support.queues import message
from tests.support.waiting import until

PATH = "/v1/dead-letters"


async def given_up(world: ApiWorld, topic: str) -> Message:
    """Publish a message and fail at it until the queue gives it up."""
    # The world's own database, and less patience.
    queue = InDatabaseQueue(world.services.database, world.clock, QueuePolicy(redelivery_limit=0, poll_s=0.01))
    sent = message(len(topic))
    await queue.publish(topic, sent)

    async def fail(_message: Message) -> None:
        raise CloudMisbehaved("no")

    async def is_dead() -> bool:
        return bool(await queue.dead_letters(topic))

    async with asyncio.TaskGroup() as tasks:
        consuming = tasks.create_task(queue.consume(topic, fail))
        await until(is_dead)
        consuming.cancel()
    return sent


def test_what_was_given_up_is_listed_and_delivered_again(tmp_path: Path) -> None:
    """Both topics' are there with reason, deliveries and contents; replayed, a message is handled as if it were new."""

    async def run() -> None:
        async with api_world(tmp_path) as world:
            assert (await world.call("admin", "GET", PATH)).body["items"] == []
            dead = {topic: await given_up(world, topic) for topic in (TO_PROVISIONER, TO_ORDERS)}
            listed = (await world.call("auditor", "GET", PATH)).body["items"]
            assert {each["topic"]: (each["id"], each["reason"], each["type"]) for each in listed} == {
                topic: (sent.id, CloudMisbehaved.code, sent.type) for topic, sent in dead.items()
            }
            replayed = dead[TO_PROVISIONER]
            assert (await world.call("admin", "POST", f"{PATH}/{replayed.id}/replay")).status == 202
            assert [each["topic"] for each in (await world.call("admin", "GET", PATH)).body["items"]] == [TO_ORDERS]
            handled: list[Message] = []

            async def take(taken: Message) -> None:
                handled.append(taken)

            async with asyncio.TaskGroup() as tasks:
                consuming = tasks.create_task(world.services.queue.consume(TO_PROVISIONER, take))

                async def is_handled() -> bool:
                    return bool(handled)

                await until(is_handled)
                consuming.cancel()
            assert handled == [replayed]
            assert listed[0]["message"]["machine"] == "machine_M"
            noted = (await world.call("admin", "GET", "/v1/audit?action=replay_dead_letter")).body["items"]
            assert {each["subject"] for each in noted} == {replayed.id}
            assert "done" in {each["result"] for each in noted}

    asyncio.run(run())


def test_what_is_not_dead_is_not_delivered_again(tmp_path: Path) -> None:
    """A message that nobody gave up is not found, and says where those are listed; the audit log has the attempt."""

    async def run() -> None:
        async with api_world(tmp_path) as world:
            missing = await world.call("admin", "POST", f"{PATH}/message_1/replay")
            assert (missing.status, missing.body["code"]) == (404, "not-found")
            assert "crossway queue dead" in missing.body["fix"]

    asyncio.run(run())
