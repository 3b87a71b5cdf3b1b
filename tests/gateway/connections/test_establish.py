"""The saga from ROUTING to ESTABLISHED: in order, recorded, and undone whole wherever it fails."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import asyncssh
import pytest

from catalog.connections import move
from catalog.errors import CloudCredentialsRefused, CloudMisbehaved, CloudTimedOut, CloudUnavailable, WrongState
from catalog.messages.handshake import ServiceInformation
from catalog.model.connection import Connection, ConnectionEvent, ConnectionState, Leg
from catalog.model.ids import ConnectionId
from catalog.model.offering import Offer, OfferState
from catalog.network import enable_relay, set_weights
from catalog.store import rows
from catalog.store.database import Tx
from gateway.connections.steps import CONNECT_STEPS, KNOWN_ERRORS
from gateway.connections.tunnels import LiveConnection
from routing.errors import HopRefused
from tests.support.connecting import Connecting, failing, granting
from tests.support.doubles import Crash, KillingCheckpoint
from tests.support.platform_links import InMemoryPlatformLink
from tests.support.sshd import Sshd


def established(world: Connecting, **policy: object) -> LiveConnection:
    """Carry out the saga, close what it made, and return it."""
    connection = world.request(**policy)

    async def run() -> LiveConnection:
        async with world.target():
            await world.begin(connection)
            live = await world.establisher.run(connection)
            assert (await world.row(connection)).state is ConnectionState.ESTABLISHED
            await world.establisher.live_closed(live)
            return live

    return asyncio.run(run())


def test_every_step_is_recorded_in_order(world: Connecting) -> None:
    """Each of CONNECT_STEPS is begun and then done, in the order of the list, and the row names the route."""
    world.accept_everything()
    live = established(world)
    expected = [(step, outcome) for step in CONNECT_STEPS for outcome in ("begun", "done")]
    assert asyncio.run(world.outcomes(live.connection)) == expected
    assert asyncio.run(world.row(live.connection)).route == "direct"
    assert {offer.state for offer in world.store.read(lambda tx: rows.where(tx, Offer))} == {OfferState.OFFERED}


def test_the_nearest_word_on_a_weight_counts(world: Connecting) -> None:
    """The connection's own before the requester's before the gateway's; another platform's have no say."""
    world.accept_everything()

    def wish(tx: Tx) -> None:
        set_weights(tx, {"loss": 2.0, "hops": 2.0, "risk": 2.0}, world.store.now_s)
        set_weights(tx, {"loss": 3.0, "hops": 3.0}, world.store.now_s, owner=world.platform)
        set_weights(tx, {"jitter": 9.0}, world.store.now_s, owner="platform_other")

    world.store.write(wish)
    weights = established(world, weights={"loss": 4.0}).aim.weights
    assert (weights.loss, weights.hops, weights.risk, weights.jitter) == (4.0, 3.0, 2.0, 1.0)


class AwayLink(InMemoryPlatformLink):
    """A connector that does not answer."""

    async def service_information(self) -> ServiceInformation:
        """Raise what a connector that is down ends in."""
        raise CloudUnavailable("the connector is away")


def test_standing_grants_outlast_an_absent_connector(world: Connecting) -> None:
    """With accepted grants a connection is established while the connector is away; without any it is not."""
    connector, world.link = world.link, AwayLink(granting(), world.store.clock)
    with pytest.raises(CloudUnavailable):
        established(world)
    world.store.write(lambda tx: close_all(tx, world.store.now_s))
    world.link = connector
    world.accept_everything()
    first = established(world)
    world.store.write(lambda tx: close_all(tx, world.store.now_s))
    world.link = AwayLink(granting(), world.store.clock)
    again = established(world)
    assert again.connection != first.connection
    assert ("connect.handshake", "postponed") in asyncio.run(world.outcomes(again.connection))


@pytest.mark.parametrize("error", [CloudUnavailable("later"), CloudTimedOut("later")], ids=lambda each: each.code)
def test_standing_grants_outlast_a_cloud_that_does_not_answer(world: Connecting, error: Exception) -> None:
    """With accepted grants a connection is established while the cloud is silent; what it refuses is refused."""
    world.accept_everything()
    established(world)
    world.store.write(lambda tx: close_all(tx, world.store.now_s))
    world.cloud.failures["log_in"] = [error]
    again = established(world)
    assert ("connect.log-in", "postponed") in asyncio.run(world.outcomes(again.connection))
    world.store.write(lambda tx: close_all(tx, world.store.now_s))
    world.cloud.failures["log_in"] = [CloudCredentialsRefused("no")]
    with pytest.raises(CloudCredentialsRefused):
        established(world)


def close_all(tx: Tx, now_s: float) -> None:
    """Close every connection that is open."""
    for each in rows.where(tx, Connection):
        if each.state is not ConnectionState.CLOSED:
            move(tx, each.id, ConnectionEvent.CLOSE, now_s)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, asyncssh.SSHKey]]:
    """Return a relay and the key that it accepts."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    with Sshd(tmp_path_factory.mktemp("relay"), key.export_public_key().decode().strip()) as sshd:
        yield sshd, key


@pytest.mark.parametrize("moment", ["begin", "end"])
@pytest.mark.parametrize("step", CONNECT_STEPS)
def test_whatever_is_cut_off_is_undone(
    world: Connecting, relay: tuple[Sshd, asyncssh.SSHKey], step: str, moment: str
) -> None:
    """Stopped at any step, by what no handler survives: the relay serves nobody, nothing is live or left open."""
    sshd, world.ssh_key = relay
    world.wire(checkpoint=KillingCheckpoint(f"{step}.{moment}"))
    world.add_relay("relay", sshd)
    connection = world.request()
    world.rtt_ms["gateway", "platform/mumbai"] = None

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            with pytest.raises(Crash):
                await world.establisher.run(connection)
            # In the loop that holds our end: after it, the end of the process would have closed it anyway.
            await asyncio.to_thread(sshd.wait_connections, 0)
            assert len(world.live) == 0
            assert await world.open_sessions(connection) == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param("log_in", CloudCredentialsRefused("no"), id="log-in refused"),
        pytest.param("log_in", CloudUnavailable("no"), id="log-in without answer"),
        pytest.param("log_in", CloudMisbehaved("no"), id="log-in garbled"),
    ],
)
def test_a_failed_step_says_so_and_the_next_run_succeeds(world: Connecting, call: str, error: Exception) -> None:
    """The error leaves, its step is recorded as failed with the code, and the same request can be run again."""
    connection = world.request()
    world.cloud.failures[call] = [error]

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            with pytest.raises(type(error)):
                await world.establisher.run(connection)
            assert (await world.outcomes(connection))[-1] == ("connect.log-in", "failed")
            assert (len(world.live), await world.open_sessions(connection)) == (0, [])
            await world.move(connection, ConnectionEvent.RETRY)
            live = await world.establisher.run(connection)
            assert len(await world.open_sessions(connection)) == 3
            await world.establisher.live_closed(live)
            assert (len(world.live), await world.open_sessions(connection)) == (0, [])

    asyncio.run(run())


def test_a_connector_that_does_not_answer_undoes_everything(world: Connecting) -> None:
    """The handshake is part of the saga: without an answer there is no connection, and no tunnel either."""
    connection = world.request()
    world.link.failure = CloudUnavailable("the connector is down")

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            with pytest.raises(CloudUnavailable):
                await world.establisher.run(connection)
            assert (len(world.live), await world.open_sessions(connection)) == (0, [])
            assert (await world.outcomes(connection))[-1] == ("connect.handshake", "failed")

    asyncio.run(run())


@pytest.mark.parametrize("error", [CloudUnavailable("later"), CloudTimedOut("later")], ids=lambda each: each.code)
def test_publishing_may_come_later(world: Connecting, error: CloudUnavailable | CloudTimedOut) -> None:
    """A cloud that cannot be asked for its inventory now does not undo a connection that stands otherwise."""
    world.accept_everything()
    world.cloud.failures["prove"] = failing(error)
    live = established(world)
    assert ("connect.publish", "postponed") in asyncio.run(world.outcomes(live.connection))


def test_a_refused_hop_falls_to_the_next_best_route(world: Connecting) -> None:
    """The preferred route's relay refuses: the next one is built, and the decision names who refused, and why."""
    world.add_relay("fast")
    world.rtt_ms |= {("gateway", "fast"): 1.0, ("fast", "platform/mumbai"): 1.0, ("gateway", "platform/mumbai"): 90.0}
    live = established(world)
    decision = asyncio.run(world.decision(live.connection))
    assert decision["candidates"][0]["route"] == "fast"  # 2 ms and 5 for the relay, against 90
    assert (live.route.id, decision["winner"]) == ("direct", "direct")
    assert [(each["route"], each["code"]) for each in decision["refused"]] == [("fast", HopRefused.code)]
    assert "nothing listens" in decision["refused"][0]["reason"]
    assert asyncio.run(world.row(live.connection)).route == "direct"


def test_a_hop_that_refused_is_asked_once(world: Connecting) -> None:
    """Every route over a bad relay is refused for the price of one attempt; when all are, its error leaves."""
    world.add_relay("bad")
    world.add_relay("good")
    connection = world.request(direct_allowed=False, avoid=["good"])

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            with pytest.raises(HopRefused) as refused:
                await world.establisher.run(connection)
            assert refused.value.hop == "bad"
            assert [each["route"] for each in (await world.decision(connection))["refused"]] == ["bad"]

    asyncio.run(run())


def test_being_cancelled_after_a_refusal_is_not_another_error(world: Connecting) -> None:
    """Cancelled while the second route is tried, the saga ends as cancelled and leaves nothing."""
    world.add_relay("fast")
    world.rtt_ms |= {("gateway", "fast"): 1.0, ("fast", "platform/mumbai"): 1.0, ("gateway", "platform/mumbai"): None}

    async def run() -> None:
        dialled = asyncio.Event()

        async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            dialled.set()
            await over.wait()
            writer.transport.abort()

        over = asyncio.Event()
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        await asyncio.to_thread(world.add_relay, "mute", port=server.sockets[0].getsockname()[1])
        connection = await asyncio.to_thread(world.request)
        async with world.target():
            await world.begin(connection)
            async with asyncio.TaskGroup() as tasks:
                saga = tasks.create_task(world.establisher.run(connection))
                await dialled.wait()
                saga.cancel()
            assert saga.cancelled()
            assert len(world.live) == 0
        over.set()
        server.close()

    asyncio.run(run())


def test_closed_meanwhile_is_the_end_of_it(world: Connecting) -> None:
    """Closed while it is being established, the connection stays closed and its tunnel is taken down again."""
    connection = world.request()

    async def close() -> None:
        await world.move(connection, ConnectionEvent.CLOSE)

    world.before_probing = close

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            with pytest.raises(KNOWN_ERRORS) as refused:
                await world.establisher.run(connection)
            assert isinstance(refused.value, WrongState)
            assert (await world.row(connection)).state is ConnectionState.CLOSED
            assert len(world.live) == 0

    asyncio.run(run())


def test_a_review_moves_only_to_a_clearly_better_route(world: Connecting, relay: tuple[Sshd, asyncssh.SSHKey]) -> None:
    """95 ms in use stays against 90 (under a tenth better), and gives way to 60; measured anew each time."""
    sshd, world.ssh_key = relay
    world.wire()
    world.add_relay("relay", sshd)
    world.rtt_ms |= {("gateway", "relay"): 100.0, ("relay", "platform/mumbai"): 0.0}
    world.rtt_ms["gateway", "platform/mumbai"] = 95.0
    connection = world.request()

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            live = await world.establisher.run(connection)
            assert live.route.id == "direct"
            for relay_ms, expected in ((85.0, "direct"), (55.0, "relay")):  # plus 5 for the relay
                world.store.clock.advance(60)
                world.rtt_ms["gateway", "relay"] = relay_ms
                network, choice = await world.establisher.review(live)
                assert choice.preferred.id == expected
            moved = await world.establisher.rebuild(live, network, choice)
            assert world.live.get(connection) is moved
            assert (await world.row(connection)).route == "relay"
            transport = next(each for each in await world.open_sessions(connection) if each.leg is Leg.TRANSPORT)
            assert transport.account.endswith("@relay")
            assert not live.tunnel.is_lost  # its sockets may still end in peace
            await live.tunnel.close()
            await world.establisher.live_closed(moved)
            await asyncio.to_thread(sshd.wait_connections, 0)

    asyncio.run(run())


def test_a_route_over_a_disabled_relay_is_left(world: Connecting, relay: tuple[Sshd, asyncssh.SSHKey]) -> None:
    """A review leaves out a route that leads over what is no longer declared, however good it was."""
    sshd, world.ssh_key = relay
    world.wire()
    world.add_relay("relay", sshd)
    world.rtt_ms["gateway", "platform/mumbai"] = 500.0
    connection = world.request()

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            live = await world.establisher.run(connection)
            assert live.route.id == "relay"
            now_s = world.store.now_s
            await world.store.database.write(lambda tx: enable_relay(tx, "relay", enabled=False, now_s=now_s))
            _, choice = await world.establisher.review(live)
            assert choice.preferred.id == "direct"
            await world.establisher.live_closed(live)

    asyncio.run(run())


def test_a_move_that_is_cut_off_keeps_the_old_tunnel(world: Connecting, relay: tuple[Sshd, asyncssh.SSHKey]) -> None:
    """When the new tunnel stands and cannot be recorded, it is closed, and sockets go on through the old one."""
    sshd, world.ssh_key = relay
    world.wire()
    world.add_relay("relay", sshd)
    world.rtt_ms["gateway", "relay"] = 500.0
    connection = world.request()

    async def run() -> None:
        async with world.target():
            await world.begin(connection)
            live = await world.establisher.run(connection)
            world.rtt_ms |= {("gateway", "relay"): 1.0, ("gateway", "platform/mumbai"): 500.0}
            world.store.clock.advance(60)
            network, choice = await world.establisher.review(live)
            assert choice.preferred.id == "relay"
            nowhere = replace(live, connection=ConnectionId("connection_gone"))
            with pytest.raises(KNOWN_ERRORS):
                await world.establisher.rebuild(nowhere, network, choice)
            await asyncio.to_thread(sshd.wait_connections, 0)
            assert not live.tunnel.is_lost
            await world.establisher.live_closed(live)

    asyncio.run(run())
