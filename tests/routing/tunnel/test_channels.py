"""A channel's window comes back early, and what nobody reads is not taken."""

import asyncio

import asyncssh
import pytest

from routing.topology import Address
from routing.tunnel.bridge import Bridge, open_channel
from routing.tunnel.channels import BatchChannel
from routing.tunnel.connecting import connect_lean
from routing.tunnel.packets import LeanConnection
from tests.routing.world import MakeWorld, World, echo_server
from tests.support.waiting import wait_until

_WINDOW_BYTES = 256 * 1024


async def _connected(here: World) -> LeanConnection:
    sshd = here.sshds[0]
    return await connect_lean(
        Address(*sshd.address),
        through=None,
        window_bytes=_WINDOW_BYTES,
        username=here.user,
        known_hosts=([asyncssh.import_public_key(sshd.host_key)], [], []),
        client_keys=[here.credentials.client_key],
        config=None,
        agent_path=None,
        encryption_algs=["aes128-gcm@openssh.com"],
    )


def test_the_window_is_given_back_at_an_eighth(world: MakeWorld) -> None:
    """While 4 MiB are read through a window of 256 KiB, at most an eighth of it is ever kept back (32 KiB)."""
    here = world(1)
    left: list[int] = []

    class Watching(asyncssh.SSHTCPSession[bytes]):
        received = 0

        def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
            assert isinstance(chan, BatchChannel)
            self.channel = chan

        def data_received(self, data: bytes, _datatype: int | None) -> None:
            self.received += len(data)
            left.append(self.channel._recv_window)

    async def run() -> None:
        async with echo_server() as address:
            connection = await _connected(here)
            channel: asyncssh.SSHTCPChannel[bytes] = connection.create_tcp_channel(window=_WINDOW_BYTES)
            session = await channel.connect(Watching, address.host, address.port, "", 0)
            assert isinstance(session, Watching)
            for _ in range(64):
                channel.write(bytes(65536))
            channel.write_eof()
            async with asyncio.timeout(60):
                await channel.wait_closed()
            assert session.received == 64 * 65536 + 3
            assert min(left) >= _WINDOW_BYTES - _WINDOW_BYTES // 8
            connection.close()
            await connection.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize(("size", "queued"), [(1, 0), (2_097_152, 0), (3_000_000, 902_848)])
def test_what_the_window_does_not_take_is_sent_later(world: MakeWorld, size: int, queued: int) -> None:
    """What is more than sshd's window of 2 MiB is queued, and all of it arrives, before the end of the stream."""
    here = world(1)

    async def run() -> None:
        async with echo_server() as address:
            connection = await _connected(here)
            reader, writer = await connection.open_connection(address.host, address.port, encoding=None)
            writer.write(bytes(size))
            assert writer.channel.get_write_buffer_size() == queued
            writer.write_eof()
            async with asyncio.timeout(60):
                assert await reader.read() == bytes(size) + b"bye"
            connection.close()
            await connection.wait_closed()

    asyncio.run(run())


def test_a_paused_channel_gives_no_window_back(world: MakeWorld) -> None:
    """A session that does not read is sent one window and no more, however much the target has to say."""
    here = world(1)

    async def run() -> None:
        said = 0

        async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal said
            try:
                while True:
                    writer.write(bytes(65536))
                    await writer.drain()
                    said += 65536
            except ConnectionError:
                pass

        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname()[:2])
        connection = await _connected(here)
        bridge = Bridge(lambda _: None)
        await open_channel(connection, address, bridge.far, _WINDOW_BYTES)
        (channel,) = connection._channels.values()
        await asyncio.to_thread(wait_until, lambda: channel._recv_window == 0, "the far side used all of it up")
        assert sum(len(data) for data, _ in channel._recv_buf) == _WINDOW_BYTES
        assert said > 0
        bridge.abort()
        connection.close()
        await connection.wait_closed()
        server.close()

    asyncio.run(run())
