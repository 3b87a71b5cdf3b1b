"""The standby stands before it is needed, takes over at once, and is replaced; every change of route counts."""

import asyncio

from catalog.model.connection import ConnectionState
from catalog.model.ids import ConnectionId
from gateway.connections.tunnels import LiveConnection
from routing.steadiness import Hold
from tests.support.connecting import Connecting, ready
from tests.support.sshd import Sshd
from tests.support.waiting import until

ESTABLISHED = ConnectionState.ESTABLISHED


async def uses(world: Connecting, connection: ConnectionId, *hops: str) -> LiveConnection:
    """Wait until the connection goes over ``hops``, by its row; return it."""

    async def moved() -> bool:
        return (await world.row(connection)).route == (">".join(hops) or "direct")

    await until(moved)
    live = world.live.get(connection)
    assert live is not None
    assert live.route.hops == hops
    return live


def test_the_standby_takes_over_and_sessions_go_on(world: Connecting, relays: dict[str, Sshd]) -> None:
    """The relay in use dies: the other takes over, the sessions stay, the why is stored, and a new standby is built."""
    changes: list[str] = []
    connection = world.request()

    async def run() -> None:
        object.__setattr__(world.establisher, "moved", changes.append)
        async with world.target(), world.keeping():
            await world.wait(connection, ESTABLISHED)
            live = await ready(world, connection, "r2")
            assert live.route.hops == ("r1",)
            before = {each.id for each in await world.open_sessions(connection)}
            await asyncio.to_thread(relays["r1"].stop)
            taken = await uses(world, connection, "r2")
            assert live.standby is None  # a proof of it that fails only now closes nothing
            assert (await world.row(connection)).state is ESTABLISHED
            assert {each.id for each in await world.open_sessions(connection)} == before
            told = await world.decision(connection)
            assert (told["winner"], told["reason"], told["before"]) == ("r2", "escaped-dead", "r1")
            assert (told["refused"][0]["route"], told["refused"][0]["code"]) == ("r1", "tunnel-lost")
            assert changes == ["escaped-dead"]
            assert taken.hold.strain > 0
            await ready(world, connection)  # what is left is the direct route

    asyncio.run(run())


def test_a_take_over_does_not_wait_for_a_review(world: Connecting, relays: dict[str, Sshd]) -> None:
    """The relay in use dies while routes are measured, and a probe is never answered: the standby takes over."""
    connection = world.request()

    async def die_unanswered() -> None:
        world.before_probing = None
        await asyncio.to_thread(relays["r1"].stop)
        await asyncio.Event().wait()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, ESTABLISHED)
            await ready(world, connection, "r2")
            before = {each.id for each in await world.open_sessions(connection)}
            world.before_probing = die_unanswered
            world.store.clock.advance(60)
            world.keeper.wake()
            await uses(world, connection, "r2")
            assert {each.id for each in await world.open_sessions(connection)} == before
            await ready(world, connection)  # and routes are reviewed again

    asyncio.run(run())


def test_sockets_use_the_standby_before_anything_is_written(world: Connecting, relays: dict[str, Sshd]) -> None:
    """While the tunnel in use is silent, new sockets go over the standby; when it answers again, over the first."""
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, ESTABLISHED)
            live = await ready(world, connection, "r2")
            assert [way.route.hops for way in live.ways()] == [("r1",), ("r2",)]
            await asyncio.to_thread(relays["r1"].freeze)

            async def steered() -> bool:
                return [way.route.hops for way in live.ways()] == [("r2",), ("r1",)]

            await until(steered)
            assert live.standby is not None
            opened = live.standby.tunnel.channels_opened
            address = next(iter(live.alternatives))
            (await live.open_socket(address, 20)).close()
            assert live.standby.tunnel.channels_opened > opened
            await asyncio.to_thread(relays["r1"].thaw)

            async def back() -> bool:
                return live.ways()[0].route.hops == ("r1",)

            await until(back)
            assert not live.tunnel.is_lost

    asyncio.run(run())


def test_a_standby_that_dies_is_replaced_unnoticed(world: Connecting, relays: dict[str, Sshd]) -> None:
    """The relay of the standby dies: a review finds another standby, and the tunnel in use is untouched."""
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, ESTABLISHED)
            live = await ready(world, connection, "r2")
            tunnel = live.tunnel
            await asyncio.to_thread(relays["r2"].stop)

            async def replaced() -> bool:
                world.keeper.wake()
                return live.standby is not None and live.standby.route.hops == ()

            await until(replaced)
            assert (await uses(world, connection, "r1")).tunnel is tunnel

    asyncio.run(run())


def test_without_a_standby_the_connection_is_lost_and_its_changes_are_not_forgotten(
    world: Connecting, relays: dict[str, Sshd]
) -> None:
    """Both tunnels die at once: established anew on what is left, that counts as a change, and so do earlier ones."""
    changes: list[str] = []
    connection = world.request(direct_allowed=False)

    async def run() -> None:
        object.__setattr__(world.establisher, "moved", changes.append)
        async with world.target(), world.keeping():
            await world.wait(connection, ESTABLISHED)
            await ready(world, connection, "r2")
            await asyncio.to_thread(relays["r1"].stop)
            strained = (await uses(world, connection, "r2")).hold.strain
            await asyncio.to_thread(relays["r2"].stop)
            await world.wait(connection, ConnectionState.LOST, ConnectionState.ROUTING, ConnectionState.TUNNELLING)
            await asyncio.to_thread(relays["r1"].start)
            world.store.clock.advance(60)  # what probing may spend comes with time
            await world.wait(connection, ESTABLISHED)
            live = await uses(world, connection, "r1")
            assert live.hold.strain > strained > Hold().strain

            async def counted() -> bool:
                return changes == ["escaped-dead", "escaped-dead"]

            await until(counted)

    asyncio.run(run())


def test_a_standby_is_proven_from_end_to_end(world: Connecting, relays: dict[str, Sshd]) -> None:
    """A standby whose relay no longer reaches the target is dropped, though its own connection stands."""
    del relays
    connection = world.request()

    async def run() -> None:
        async with world.keeping():
            async with world.target():
                await world.wait(connection, ESTABLISHED)
                live = await ready(world, connection, "r2")

            async def dropped() -> bool:
                return live.standby is None

            await until(dropped)

    asyncio.run(run())
