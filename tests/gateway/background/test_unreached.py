"""What a platform has on offer that nobody reaches is closed, and open again once it is reached."""

import asyncio

from catalog.model.connection import ConnectionEvent
from catalog.model.event import Event
from catalog.model.offering import Offer, OfferState
from catalog.store import rows
from gateway.background.unreached import UNREACHED_S, CloseUnreached
from tests.support.connecting import Connecting

WELL = {(OfferState.OFFERED, "")}
CLOSED = {(OfferState.DEGRADED, "no connection to this platform is established")}


def unreached(world: Connecting) -> CloseUnreached:
    """Return the task."""
    return CloseUnreached(database=world.store.database, clock=world.store.clock, publisher=world.publisher)


async def offers(world: Connecting) -> set[tuple[OfferState, str]]:
    """Return how the offers stand, and why."""
    found = await world.store.database.read(lambda tx: rows.where(tx, Offer))
    return {(each.state, each.reason) for each in found}


async def run_for(world: Connecting, task: CloseUnreached, seconds: float) -> None:
    """Run the task every five seconds."""
    for _ in range(int(seconds / 5.0)):
        world.store.clock.advance(5.0)
        await task.run_once()


def test_offers_out_of_reach_are_closed_and_open_again(world: Connecting) -> None:
    """A short outage, such as a restart, concerns nobody; a long one closes everything once, until it is over."""
    world.accept_everything()

    async def run() -> None:
        async with world.target():
            connection = await asyncio.to_thread(world.request)
            await world.begin(connection)
            live, task = await world.establisher.run(connection), unreached(world)
            seen = []
            for outage_s in (UNREACHED_S - 5.0, UNREACHED_S + 20.0):
                await run_for(world, task, 60.0)
                seen.append(await offers(world))
                await world.establisher.live_closed(live)
                await world.move(connection, ConnectionEvent.LOSE)
                await run_for(world, task, outage_s)
                seen.append(await offers(world))
                await world.move(connection, ConnectionEvent.RETRY)
                live = await world.establisher.run(connection)
            assert [*seen, await offers(world)] == [WELL, WELL, WELL, CLOSED, WELL]
            await world.establisher.live_closed(live)

    asyncio.run(run())
    told = world.store.read(lambda tx: [each.kind for each in rows.where(tx, Event) if each.kind == "offer.degraded"])
    assert len(told) == len(world.store.read(lambda tx: rows.where(tx, Offer))) > 0
