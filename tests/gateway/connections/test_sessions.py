"""Three linked sessions: account with the gateway, with the relays on the way, with the target."""

import asyncio

from gateway.connections.sessions import transport_account
from gateway.network import DeclaredNetwork, Snapshot
from routing.candidates import Route
from tests.support.connecting import Connecting


def test_each_leg_has_its_account(world: Connecting) -> None:
    """Opened together, each the parent of the next; a call counts in all, and opening again ends the former ones."""
    world.add_relay("relay")
    connection = world.request()
    route = Route(("relay",), "platform/mumbai")

    async def run() -> None:
        network: Snapshot = await world.store.database.read(
            lambda tx: DeclaredNetwork("gw").towards(tx, world.platform)
        )
        first = await world.sessions.open(connection, route, network)
        await world.sessions.count(connection)
        opened = await world.open_sessions(connection)
        assert [each.account for each in opened] == ["mumbai/primary", "nobody@relay", "mumbai/primary"]
        assert [each.parent_id for each in opened] == [None, first[0].id, first[1].id]
        assert [each.calls for each in opened] == [1, 1, 1]
        second = await world.sessions.open(connection, route, network)
        assert {each.id for each in await world.open_sessions(connection)} == {each.id for each in second}
        await world.sessions.end(connection)
        await world.sessions.end(connection)
        assert await world.open_sessions(connection) == []
        assert transport_account(Route((), "platform/mumbai"), network) == "direct"

    asyncio.run(run())
