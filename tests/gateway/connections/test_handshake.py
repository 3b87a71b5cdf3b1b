"""The gateway's side of the handshake: ask for what fits, once, and record what the owner said."""

import asyncio
from dataclasses import replace

import pytest

from catalog.errors import CloudUnavailable
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, ServiceInformation
from catalog.model.consent import Grant, GrantState
from catalog.store import rows
from gateway.connections.handshake import select
from gateway.connector.policy import Verdict
from gateway.errors import HandshakeRefused
from tests.support.connecting import Connecting, granting


def services(*names: str) -> ServiceInformation:
    """Return what has these services."""
    return ServiceInformation(provider="memory", region="here", services=names)


def test_only_what_fits_is_asked_for() -> None:
    """Claimed by the owner, found by the log-in and known to us: what is missing on any side is not asked for."""
    wanted = select(services("machine", "image", "teleport"), services("teleport", "size", "image"))
    assert wanted == {"image": CAPABILITY_VERBS[Capability.IMAGE]}


async def grants(world: Connecting) -> dict[str, Grant]:
    """Return every grant by capability."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Grant))
    return {grant.capability: grant for grant in found}


def test_what_the_owner_says_is_recorded(world: Connecting) -> None:
    """Granted with its terms and the signed answer, pending as asked, and absent as denied."""
    granted, asked = granting(Verdict.GRANT, "machine", quota=2), granting(Verdict.ASK, "image")
    world.link.policy = replace(granted, rules={**granted.rules, **asked.rules})

    async def run() -> None:
        async with world.target():
            held = await world.connect()
            found = await grants(world)
            assert {name: grant.state for name, grant in found.items()} == {
                "machine": GrantState.GRANTED,
                "image": GrantState.REQUESTED,
                "size": GrantState.DENIED,
            }
            assert (found["machine"].quota, bool(found["machine"].evidence)) == (2, True)
            await world.establisher.live_closed(held)

    asyncio.run(run())


def test_asking_again_is_the_same_request_until_it_is_answered(world: Connecting) -> None:
    """While an answer is outstanding the owner sees one request, and the answer to it is what counts."""
    world.link.policy = granting(Verdict.ASK)

    async def run() -> None:
        async with world.target():
            held = await world.connect()
            first = {grant.request_id for grant in (await grants(world)).values()}
            await world.handshake.run(held, services("machine", "image", "size"))
            again = {grant.request_id for grant in (await grants(world)).values()}
            assert (len(first), first) == (1, again)
            for name in ("machine", "image", "size"):
                world.link.answer(*first, name, Verdict.GRANT)
            await world.handshake.run(held, services("machine", "image", "size"))
            assert {grant.state for grant in (await grants(world)).values()} == {GrantState.GRANTED}
            await world.establisher.live_closed(held)

    asyncio.run(run())


def test_nothing_in_common_is_refused(world: Connecting) -> None:
    """Where claimed and found services do not meet there is nothing to ask; the message says what to change."""

    async def run() -> None:
        async with world.target():
            held = await world.connect()
            with pytest.raises(HandshakeRefused) as refused:
                await world.handshake.run(held, services("volume"))
            assert "volume" in str(refused.value.fix)
            world.link.failure = CloudUnavailable("down")
            with pytest.raises(CloudUnavailable):
                await world.handshake.run(held, services("image"))
            await world.establisher.live_closed(held)

    asyncio.run(run())
