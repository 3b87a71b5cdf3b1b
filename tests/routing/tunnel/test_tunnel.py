"""Sockets through tunnels over real OpenSSH relays, with nothing listening in this process."""

import asyncio
import hashlib
import http.client
import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from routing.errors import HopRefused, HopTimedOut, TunnelFull, TunnelLost
from routing.topology import Address
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.tunnel import Tunnel
from tests.routing.world import MakeWorld, World, delaying_proxy, echo_server, listening_here, read_all, silent_server
from tests.support.ssh_jump import Relay
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

_RELAY_COUNTS = [pytest.param(count, id=f"{count} relays") for count in (0, 1, 2, 3)]
_BODY = bytes(range(256)) * (8 * 1024 * 4)  # 8 MiB


@pytest.mark.parametrize("relays", _RELAY_COUNTS)
def test_eight_megabytes_pass_both_ways_and_are_counted(world: MakeWorld, relays: int) -> None:
    """8 MiB out and the same 8 MiB back arrive unaltered, at the same time, and the counters say so.

    The target echoes, so neither direction may wait for the other to end; "bye" (3 bytes) answers the half-close.
    """
    here = world(relays)

    def exchange(connection: socket.socket) -> bytes:
        with connection:

            def send() -> None:
                connection.sendall(_BODY)
                connection.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            answer = read_all(connection)
            sender.join()
        return answer

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address)
            before_in, before_out = tunnel.bytes_in, tunnel.bytes_out
            connection = await tunnel.open_socket(address, 20)
            assert connection.getblocking()
            answer = await asyncio.to_thread(exchange, connection)
            assert hashlib.sha256(answer).digest() == hashlib.sha256(_BODY + b"bye").digest()
            assert tunnel.bytes_out - before_out == len(_BODY)
            # The answer to the verifying connection of the build may still arrive; it is "bye" at most.
            assert 0 <= tunnel.bytes_in - before_in - len(_BODY) - 3 <= 3
            await _none_open(tunnel)
            await tunnel.close()

    asyncio.run(run())


@pytest.mark.parametrize("relays", _RELAY_COUNTS)
def test_a_half_close_leaves_the_other_direction_open(world: MakeWorld, relays: int) -> None:
    """After our end says it is done, the target's answer to that still comes."""
    here = world(relays)

    def ask(connection: socket.socket) -> bytes:
        with connection:
            connection.sendall(b"hello ")
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address)
            assert await asyncio.to_thread(ask, await tunnel.open_socket(address, 20)) == b"hello bye"
            await tunnel.close()

    asyncio.run(run())


@pytest.mark.parametrize("relays", _RELAY_COUNTS)
def test_a_closed_tunnel_ends_its_sockets(world: MakeWorld, relays: int) -> None:
    """Blocked readers wake with the end of the stream, new sockets are refused, and the relays hold nothing."""
    here = world(relays)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address)
            connection = await tunnel.open_socket(address, 20)
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(asyncio.to_thread(read_all, connection))
                lost = group.create_task(tunnel.wait_lost())
                await tunnel.close()
            assert reader.result() == b""
            assert lost.result() == "the tunnel was closed"
            connection.close()
            with pytest.raises(TunnelLost):
                await tunnel.open_socket(address, 20)
            await tunnel.close()  # closing twice is allowed
            assert tunnel.channels_open == 0

    asyncio.run(run())
    for sshd in here.sshds:
        sshd.wait_connections(0)


def test_no_port_listens(world: MakeWorld) -> None:
    """Neither a tunnel nor a socket through it opens a listening port that another local user could ride."""
    here = world(2)

    async def run() -> None:
        async with echo_server() as address:
            before = listening_here()
            assert before  # the echo server's own: the reading works
            tunnel = await here.build(address)
            with await tunnel.open_socket(address, 20) as connection:
                assert connection.family == socket.AF_UNIX
                assert listening_here() == before
            await tunnel.close()

    asyncio.run(run())


def test_an_abandoned_socket_frees_its_channel(world: MakeWorld) -> None:
    """Closing a socket while the target stays silent frees the channel: a full close is not a half-close."""
    here = world(1)

    async def run() -> None:
        async with silent_server() as address:
            tunnel = await here.build(address)
            await _none_open(tunnel)
            connection = await tunnel.open_socket(address, 20)
            assert tunnel.channels_open == 1
            connection.close()
            await _none_open(tunnel)
            await tunnel.close()

    asyncio.run(run())


def test_a_slow_reader_holds_the_sender_back(world: MakeWorld) -> None:
    """A target that is not read stops being read from: what is buffered for one socket is bounded.

    The target offers 64 MiB; until our side reads, at most the 1 MiB window and some socket buffers of it move.
    """
    here = world(1)
    policy = TunnelPolicy(window_bytes=1024 * 1024)

    async def run() -> None:
        sent = 0
        full = asyncio.Event()

        async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            sent = 0
            try:
                while sent < 64 * 1024 * 1024:
                    writer.write(bytes(65536))
                    async with asyncio.timeout(1):
                        await writer.drain()
                    sent += 65536
            except TimeoutError:
                full.set()
            except ConnectionError:
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname()[:2])
        tunnel = await here.build(address, policy)
        connection = await tunnel.open_socket(address, 20)
        async with asyncio.timeout(60):
            await full.wait()
        assert tunnel.bytes_in < 4 * 1024 * 1024
        connection.close()
        await tunnel.close()
        server.close()

    asyncio.run(run())


def test_refusals_name_the_target(world: MakeWorld) -> None:
    """A port where nothing listens, and one the relay may not reach, are both refused at the target by name."""

    async def run(here: World) -> None:
        async with echo_server() as address:
            tunnel = await here.build(address)
            with pytest.raises(HopRefused) as refused:
                await tunnel.open_socket(Address("127.0.0.1", free_port()), 20)
            assert refused.value.hop == "target"
            assert not tunnel.is_lost
            await _none_open(tunnel)
            await tunnel.close()

    asyncio.run(run(world(0)))
    asyncio.run(run(world(1)))


def test_a_silent_target_times_out(world: MakeWorld) -> None:
    """A connect that hangs ends after ``timeout_s`` as HopTimedOut; a late answer to it leaves no channel behind.

    The listener's backlog is full, so the kernel drops the relay's SYN; then room is made and the
    connect succeeds late.
    """
    here = world(1)

    async def run() -> None:
        async with echo_server() as echo:
            tunnel = await here.build(echo)
            with socket.socket() as full, socket.socket() as first, socket.socket() as second:
                full.bind(("127.0.0.1", 0))
                full.listen(0)
                first.connect(full.getsockname())
                second.settimeout(0)
                second.connect_ex(full.getsockname())
                address = Address(*full.getsockname())
                with pytest.raises(HopTimedOut):
                    await tunnel.open_socket(address, 0.5)
                assert tunnel.channels_open == 0
                full.settimeout(20)
                # Two accepts of ours, then the relay's late connection, which must end by itself.
                accepted = [await asyncio.to_thread(full.accept)]
                first.close()
                second.close()
                while True:
                    connection, _ = await asyncio.to_thread(full.accept)
                    connection.settimeout(20)
                    accepted.append((connection, _))
                    if await asyncio.to_thread(read_all, connection) == b"" and len(accepted) >= 2:
                        break
                for each, _ in accepted:
                    each.close()
            with await tunnel.open_socket(echo, 20) as alive:
                assert alive.fileno() >= 0
            await tunnel.close()

    asyncio.run(run())


def test_sockets_are_limited(world: MakeWorld) -> None:
    """One socket more than the policy allows is refused, and closing one makes room."""
    here = world(0)
    policy = TunnelPolicy(socket_limit=2, verify_target=False)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address, policy)
            held = [await tunnel.open_socket(address, 20) for _ in range(2)]
            with pytest.raises(TunnelFull):
                await tunnel.open_socket(address, 20)
            for connection in held:
                connection.close()
            await _none_open(tunnel)
            (await tunnel.open_socket(address, 20)).close()
            assert tunnel.channels_opened == 3
            await tunnel.close()

    asyncio.run(run())


@pytest.fixture
def web() -> Iterator[Address]:
    """Serve HTTP from a thread; every path answers with itself."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Address("127.0.0.1", server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("relays", _RELAY_COUNTS)
def test_blocking_http_works_from_many_threads(world: MakeWorld, web: Address, relays: int) -> None:
    """Unmodified blocking HTTP clients, eight at once with three requests each, get their own answers."""
    here = world(relays)

    def ask(connection: socket.socket, name: str) -> list[str]:
        client = http.client.HTTPConnection("cloud.example")
        client.sock = connection
        answers = []
        for turn in range(3):
            client.request("GET", f"/{name}/{turn}")
            answers.append(client.getresponse().read().decode())
        client.close()
        return answers

    async def run() -> None:
        tunnel = await here.build(web)
        async with asyncio.TaskGroup() as group:
            clients = [
                group.create_task(asyncio.to_thread(ask, await tunnel.open_socket(web, 20), f"c{number}"))
                for number in range(8)
            ]
        for number, client in enumerate(clients):
            assert client.result() == [f"/c{number}/{turn}" for turn in range(3)]
        await _none_open(tunnel)
        await tunnel.close()

    asyncio.run(run())


def test_asyncio_streams_may_use_the_socket(world: MakeWorld) -> None:
    """The socket can be given to another asyncio client, as aiohttp does it."""
    here = world(1)

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address)
            connection = await tunnel.open_socket(address, 20)
            connection.settimeout(0)
            reader, writer = await asyncio.open_connection(sock=connection)
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"ping"
            writer.close()
            await writer.wait_closed()
            await _none_open(tunnel)
            await tunnel.close()

    asyncio.run(run())


def test_a_far_upload_is_advised_to_go_in_stripes(world: MakeWorld) -> None:
    """Over a relay 60 ms away (30 ms each way) at least four sockets pay: 7.5 MB in two round trips, 2 MiB each.

    Without relays one is enough, because no sshd bounds what is under way.
    """
    here, direct = world(1), world(0)

    async def run() -> None:
        async with echo_server() as address:
            near = await direct.build(address)
            assert near.upload_stripes == 1
            await near.close()
            async with delaying_proxy(Address(*here.sshds[0].address), 0.03) as delayed:
                relay = Relay((delayed.host, delayed.port), here.user, here.sshds[0].host_key)
                far = await World([relay], here.credentials.client_key).build(address)
                assert far.upload_stripes >= 4
                await far.close()

    asyncio.run(run())


def test_a_far_way_has_wide_windows_on_every_nested_channel(world: MakeWorld) -> None:
    """Over 60 ms, 500 Mbit/s have 4.7 MB under way with their margin: the limit of 4 MiB, for flow and carrier alike.

    The first relay is the far one, so the channel that carries the second connection and the flow's own both are.
    """
    here = world(2)

    async def run() -> None:
        async with echo_server() as address, delaying_proxy(Address(*here.sshds[0].address), 0.03) as delayed:
            near = here.sshds[1]
            relays = [
                Relay((delayed.host, delayed.port), here.user, here.sshds[0].host_key),
                Relay(near.address, here.user, near.host_key),
            ]
            tunnel = await World(relays, here.credentials.client_key).build(address)
            with await tunnel.open_socket(address, 20):
                windows = [
                    channel.get_recv_window()
                    for connection in tunnel.connections
                    for channel in connection._channels.values()
                ]
            assert windows
            assert set(windows) == {4 * 1024 * 1024}
            await tunnel.close()

    asyncio.run(run())


async def _none_open(tunnel: Tunnel) -> None:
    """Wait until no socket is open through ``tunnel``, letting the loop run meanwhile."""
    await asyncio.to_thread(wait_until, lambda: tunnel.channels_open == 0, "no channel is open")
