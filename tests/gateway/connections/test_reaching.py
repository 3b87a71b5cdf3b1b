"""The reachability of platforms follows from the route in use, and from nothing that was not measured."""

import asyncio

from catalog.model.connection import ConnectionState
from catalog.model.reachability import Reachability
from catalog.store import rows
from gateway.connections.reaching import ReachWatch
from tests.support.connecting import Connecting


def test_what_the_links_of_the_route_in_use_show_is_kept(world: Connecting) -> None:
    """An established connection's round trip and preference are written once; nothing without a tunnel; stays after."""
    world.accept_everything()
    connection = world.request()
    watch = ReachWatch(world.store.database, world.store.clock, world.live, world.chooser)

    async def kept() -> Reachability | None:
        return await world.store.database.read(lambda tx: rows.find(tx, Reachability, world.platform))

    async def run() -> None:
        assert await watch.run_once() == 0
        async with world.target():
            await world.begin(connection)
            live = await world.establisher.run(connection)
            assert (await world.row(connection)).state is ConnectionState.ESTABLISHED
            assert (await watch.run_once(), await watch.run_once()) == (1, 0)
            known = world.chooser.standing(live.snapshot, live.route, live.aim)
            row = await kept()
            assert known is not None
            assert row is not None
            measured, score = known
            assert (row.route, row.rtt_ms, row.loss_ratio) == ("direct", measured.rtt_ms, measured.loss_ratio)
            assert row.preference == score.preference
            assert row.rtt_ms is not None
            assert row.measured_at_s <= world.store.now_s
            await world.establisher.live_closed(live)
        assert await watch.run_once() == 0
        assert await kept() is not None

    asyncio.run(run())
