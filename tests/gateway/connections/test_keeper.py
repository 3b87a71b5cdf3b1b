"""The keeper holds every connection that is open: rebuilt when lost, moved when worth it, let go when closed."""

import asyncio

import asyncssh
import pytest

from catalog import connections
from catalog.errors import CloudCredentialsRefused, CloudUnavailable
from catalog.model.connection import ConnectionEvent, ConnectionState
from catalog.model.ids import ConnectionId
from catalog.network import enable_relay
from catalog.ports import Address
from tests.support.connecting import Connecting, eager, failing
from tests.support.sshd import Sshd
from tests.support.stores import add_platform
from tests.support.waiting import until

_S, _E = ConnectionState, ConnectionEvent
DIRECT, RELAYED = ("gateway", "platform/mumbai"), ("gateway", "relay")


@pytest.fixture
def relay(world: Connecting, tmp_path_factory: pytest.TempPathFactory) -> Sshd:
    """Return a relay that is declared, has the key, and ends with the test's world."""
    world.ssh_key = asyncssh.generate_private_key("ssh-ed25519")
    sshd = Sshd(tmp_path_factory.mktemp("relay"), world.ssh_key.export_public_key().decode().strip())
    world.closing.callback(sshd.stop)
    sshd.start()
    world.add_relay("relay", sshd)
    world.wire()
    return sshd


async def gone(world: Connecting) -> None:
    """Wait until nothing is live."""

    async def empty() -> bool:
        return len(world.live) == 0

    await until(empty)


def test_a_lost_tunnel_is_rebuilt(world: Connecting, relay: Sshd) -> None:
    """The relay dies: the connection is taken off the air and comes back with the relay, with sessions of its own."""
    world.rtt_ms[DIRECT] = None
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            before = {each.id for each in await world.open_sessions(connection)}
            await asyncio.to_thread(relay.stop)
            await world.wait(connection, _S.LOST, _S.ROUTING, _S.TUNNELLING)
            assert await world.open_sessions(connection) == []
            await asyncio.to_thread(relay.start)
            await world.wait(connection, _S.ESTABLISHED)
            after = {each.id for each in await world.open_sessions(connection)}
            assert (len(before), len(after), before & after) == (3, 3, set())

    asyncio.run(run())


def test_one_that_stood_is_tried_for_ever(world: Connecting, relay: Sshd) -> None:
    """After a loss it is tried far more often than a first request is, also when no probe is answered at all."""
    world.rtt_ms[DIRECT] = None
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            world.rtt_ms[RELAYED] = None
            world.store.clock.advance(60)
            await asyncio.to_thread(relay.stop)

            async def often() -> bool:
                return (await world.row(connection)).attempts > 6

            await until(often)
            await asyncio.to_thread(relay.start)
            del world.rtt_ms[RELAYED]
            await world.wait(connection, _S.ESTABLISHED)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        pytest.param(CloudUnavailable("down"), 3, id="what may pass"),
        pytest.param(CloudCredentialsRefused("no"), 1, id="what will not"),
    ],
)
def test_a_first_request_is_tried_so_often(world: Connecting, error: CloudUnavailable, attempts: int) -> None:
    """A retryable failure is tried first_attempts times in all, a permanent one once; the row says why it ended."""
    world.cloud.failures["log_in"] = failing(error, 9)
    delhi = add_platform(world.store, "delhi").id
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            row = await world.wait(connection, _S.FAILED)
            assert (row.code, row.reason, row.route) == (error.code, str(error), "")
            assert (len(world.live), await world.open_sessions(connection)) == (0, [])
            world.cloud.failures.clear()
            # Another's whole saga is time enough for a try too many.
            await world.wait(await asyncio.to_thread(world.request, delhi), _S.ESTABLISHED)
            assert (await world.row(connection)).state is _S.FAILED
            assert world.cloud.calls.count("log_in") == attempts + 1

    asyncio.run(run())


def test_a_mistake_in_one_connection_leaves_the_others_alone(world: Connecting) -> None:
    """An error that nobody foresaw fails its own connection, with a code; another's tunnel is not touched."""
    delhi = add_platform(world.store, "delhi").id
    healthy = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(healthy, _S.ESTABLISHED)
            tunnel = world.live.get(healthy)
            world.cloud.failures["log_in"] = [KeyError("a bug of ours") for _ in range(9)]
            sick = await asyncio.to_thread(world.request, delhi)
            row = await world.wait(sick, _S.FAILED)
            assert row.code == "internal-error"
            assert "bug" not in row.reason
            assert world.live.get(healthy) is tunnel

    asyncio.run(run())


def test_closing_ends_tunnel_and_sessions(world: Connecting, relay: Sshd) -> None:
    """A closed connection is let go of: the relay serves nobody, and calls find no way any more."""
    world.rtt_ms[DIRECT] = None
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            await world.move(connection, _E.CLOSE)
            world.keeper.wake()
            await gone(world)
            await asyncio.to_thread(relay.wait_connections, 0)
            assert await world.open_sessions(connection) == []
            with pytest.raises(CloudUnavailable):
                await world.clouds.driver(world.platform)
            assert (await world.row(connection)).state is _S.CLOSED

    asyncio.run(run())


def test_a_close_during_a_review_is_heard(world: Connecting) -> None:
    """Said while routes are measured, a close takes effect after the review, not at the next one in ten minutes."""
    world.wire(policy=eager(review_period_s=600))
    connection = world.request()

    async def close() -> None:
        world.before_probing = None
        await world.move(connection, _E.CLOSE)
        world.keeper.wake()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            world.before_probing = close
            world.store.clock.advance(60)
            world.keeper.wake()
            await gone(world)

    asyncio.run(run())


def test_a_close_does_not_wait_for_a_review(world: Connecting) -> None:
    """Routes are being measured, and that never ends; the connection is let go of all the same."""
    world.wire(policy=eager(review_period_s=600))
    connection = world.request()
    measuring = asyncio.Event()

    async def measure_for_ever() -> None:
        measuring.set()
        await asyncio.Event().wait()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            world.before_probing = measure_for_ever
            world.store.clock.advance(60)
            world.keeper.wake()
            await measuring.wait()
            await world.move(connection, _E.CLOSE)
            world.keeper.wake()
            await gone(world)

    asyncio.run(run())


def test_asking_again_while_it_is_established_is_no_failure(world: Connecting) -> None:
    """A reroute in the middle begins the saga anew instead of failing it."""
    connection = world.request()

    async def reroute() -> None:
        await world.move(connection, _E.RETRY)

    world.cloud.hooks["log_in"] = reroute

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED, _S.FAILED)
            assert world.cloud.calls.count("log_in") == 2
            assert (await world.row(connection)).state is _S.ESTABLISHED

    asyncio.run(run())


@pytest.mark.parametrize("reached", [_S.ROUTING, _S.TUNNELLING, _S.HANDSHAKING, _S.ESTABLISHED, _S.LOST])
def test_a_restart_resumes(world: Connecting, reached: ConnectionState) -> None:
    """Whatever state a dead process left, the next one establishes; none is called established before it is."""
    connection = world.request()
    for event, state in zip(
        (_E.BEGIN, _E.ROUTED, _E.TUNNELLED, _E.ESTABLISH, _E.LOSE),
        (_S.ROUTING, _S.TUNNELLING, _S.HANDSHAKING, _S.ESTABLISHED, _S.LOST),
        strict=True,
    ):
        asyncio.run(world.move(connection, event))
        if state is reached:
            break

    async def run() -> None:
        await world.keeper.recover()
        assert (await world.row(connection)).state is (_S.LOST if reached is _S.ESTABLISHED else reached)
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            assert len(world.live) == 1

    asyncio.run(run())


def test_nothing_happens_without_consent(world: Connecting) -> None:
    """A connection that waits for the target's owner is not begun; with the owner's word it is established."""
    asker = add_platform(world.store, "asker").id
    now_s = world.store.now_s
    own = world.request()
    waiting = world.store.write(
        lambda tx: connections.request(tx, requester=asker, target=world.platform, policy={}, now_s=now_s)
    ).id

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(own, _S.ESTABLISHED)  # so the rows were read
            assert (await world.row(waiting)).state is _S.AWAITING_CONSENT
            assert await world.outcomes(waiting) == []
            await world.store.database.write(
                lambda tx: connections.give_consent(tx, waiting, platform_id=world.platform, allow=True, now_s=now_s)
            )
            world.keeper.wake()
            await world.wait(waiting, _S.ESTABLISHED)

    asyncio.run(run())


async def moved(world: Connecting, connection: ConnectionId, route: str) -> None:
    """Wait until the connection goes by ``route``."""

    async def there() -> bool:
        return (await world.row(connection)).route == route

    await until(there)


def test_the_old_tunnel_is_drained_and_closed(world: Connecting, relay: Sshd) -> None:
    """A disabled relay is left; a socket that stays open holds its tunnel for drain_s and no longer."""
    world.rtt_ms[DIRECT] = 500.0
    connection = world.request()

    async def run() -> None:
        async with world.target(), world.keeping():
            await world.wait(connection, _S.ESTABLISHED)
            live = world.live.get(connection)
            assert live is not None
            to = live.tunnel.target_address
            held = await live.open_socket(Address(host=to.host, port=to.port), 20)
            now_s = world.store.now_s
            await world.store.database.write(lambda tx: enable_relay(tx, "relay", enabled=False, now_s=now_s))
            world.keeper.wake()
            await moved(world, connection, "direct")
            await asyncio.to_thread(relay.wait_connections, 0)
            assert held.recv(1) == b""
            held.close()
            assert len(world.live) == 1
            assert len(await world.open_sessions(connection)) == 3

    asyncio.run(run())


def test_a_stop_closes_the_tunnel_that_was_moved_to(world: Connecting, relay: Sshd) -> None:
    """When the keeper ends, so does the tunnel in use, also when it is not the one that was established."""
    world.rtt_ms[RELAYED] = 500.0
    connection = world.request()

    async def run() -> None:
        async with world.target():
            async with world.keeping():
                await world.wait(connection, _S.ESTABLISHED)
                world.rtt_ms |= {RELAYED: 1.0, DIRECT: 500.0}
                world.store.clock.advance(60)
                world.keeper.wake()
                await moved(world, connection, "relay")
            assert len(world.live) == 0
            await asyncio.to_thread(relay.wait_connections, 0)

    asyncio.run(run())


def test_a_long_outage_does_not_overflow(world: Connecting) -> None:
    """The pause after the five-thousandth attempt is still the longest pause."""
    connection = world.request()
    world.keeper._kept[connection] = asyncio.Event()

    async def run() -> None:
        await world.keeper._pause(await world.row(connection), 5000)

    asyncio.run(run())
