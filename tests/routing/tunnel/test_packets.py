"""Lean connections against real OpenSSH: every byte arrives, in any pieces and through key changes."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import asyncssh
import pytest

from routing.topology import Address
from routing.tunnel.connecting import connect_lean
from routing.tunnel.packets import LeanConnection
from routing.tunnel.views import arrivals
from tests.routing.world import MakeWorld, World, delaying_proxy, echo_server

_BODY = random.Random(5).randbytes(3 * 1024 * 1024 + 7)


class _InPieces(LeanConnection):
    """Hears what the socket gave in pieces of 1 to 40,000 bytes, as a slow network might deliver it."""

    def buffer_updated(self, nbytes: int) -> None:
        """Take one read as many."""
        whole, sizes, at = bytes(arrivals()[:nbytes]), random.Random(nbytes), 0
        while at < nbytes:
            size = sizes.choice((1, 2, 3, 5, 21, 1400, 40_000))
            self.data_received(whole[at : at + size])
            at += size


class _Tampered(LeanConnection):
    """Hears one bit wrong, once somebody sets ``spoils``."""

    spoils = False

    def buffer_updated(self, nbytes: int) -> None:
        """Change a bit of the first packet's ciphertext."""
        if self.spoils:
            arrivals()[5] ^= 1
        super().buffer_updated(nbytes)


async def _reach(
    here: World,
    hops: int,
    address: Address | None = None,
    kind: type[LeanConnection] = LeanConnection,
    **options: object,
) -> list[LeanConnection]:
    """Return connections to the first ``hops`` relays, each through the one before; the first one at ``address``."""
    reached: list[LeanConnection] = []
    for sshd in here.sshds[:hops]:
        reached.append(
            await connect_lean(
                (not reached and address) or Address(*sshd.address),
                through=reached[-1] if reached else None,
                window_bytes=2**21,
                kind=kind,
                username=here.user,
                known_hosts=([asyncssh.import_public_key(sshd.host_key)], [], []),
                client_keys=[here.credentials.client_key],
                config=None,
                agent_path=None,
                encryption_algs=["aes128-gcm@openssh.com"],
                **options,
            )
        )
    return reached


async def _close(reached: list[LeanConnection]) -> None:
    for connection in reversed(reached):
        connection.close()
        await connection.wait_closed()


async def _echoed(connection: LeanConnection, address: Address, body: bytes) -> bytes:
    """Return what an echo server makes of ``body``, sent and read at the same time."""
    reader, writer = await connection.open_connection(address.host, address.port, encoding=None)

    async def send() -> None:
        for at in range(0, len(body), 100_000):
            writer.write(body[at : at + 100_000])
            await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(send())
        answer = group.create_task(reader.read())
    return answer.result()


def _with_echo(use: Callable[[Address], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with echo_server() as address:
            await use(address)

    asyncio.run(run())


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("kind", [LeanConnection, _InPieces], ids=["as it comes", "in small pieces"])
def test_every_byte_arrives(world: MakeWorld, hops: int, kind: type[LeanConnection]) -> None:
    """3 MiB come back unaltered over one connection and over three nested ones, however the socket cuts them."""
    here = world(hops)

    async def use(address: Address) -> None:
        reached = await _reach(here, hops, kind=kind)
        assert await _echoed(reached[-1], address, _BODY) == _BODY + b"bye"
        await _close(reached)

    _with_echo(use)


@pytest.mark.parametrize("hops", [1, 2])
def test_new_keys_in_mid_transfer_lose_nothing(world: MakeWorld, hops: int) -> None:
    """With new keys every 256 KiB, asked for by us and by sshd, 3 MiB come back unaltered both ways at once."""
    here = world(hops, config="RekeyLimit 300K\n")

    async def use(address: Address) -> None:
        reached = await _reach(here, hops, rekey_bytes=256 * 1024)
        first_keys = [connection._sealer for connection in reached]
        assert await _echoed(reached[-1], address, _BODY) == _BODY + b"bye"
        for connection, keys in zip(reached, first_keys, strict=True):
            assert connection._sealer is not keys
        await _close(reached)

    _with_echo(use)


def test_many_channels_at_once_keep_apart(world: MakeWorld) -> None:
    """Sixteen channels of one connection, busy at once, each get their own bytes back."""
    here = world(1)

    async def use(address: Address) -> None:
        reached = await _reach(here, 1)
        bodies = [random.Random(number).randbytes(200_000) for number in range(16)]
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(_echoed(reached[0], address, body)) for body in bodies]
        assert [answer.result() for answer in answers] == [body + b"bye" for body in bodies]
        await _close(reached)

    _with_echo(use)


def test_an_altered_packet_ends_the_connection(world: MakeWorld) -> None:
    """One wrong bit ends the connection with a MAC error; nothing of that packet is delivered."""
    here = world(1)

    async def use(address: Address) -> None:
        (connection,) = await _reach(here, 1, kind=_Tampered)
        assert isinstance(connection, _Tampered)
        reader, writer = await connection.open_connection(address.host, address.port, encoding=None)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        connection.spoils = True
        writer.write(b"pong")
        with pytest.raises(asyncssh.MACError):
            await reader.read(1)
        async with asyncio.timeout(20):
            await connection.wait_closed()

    _with_echo(use)


def test_a_write_is_as_many_packets_as_it_needs(world: MakeWorld) -> None:
    """100,000 bytes are four packets of at most 32 KiB, and no empty one stands before any."""
    here = world(1)

    async def use(address: Address) -> None:
        (connection,) = await _reach(here, 1)
        _, writer = await connection.open_connection(address.host, address.port, encoding=None)
        before = connection._send_seq
        writer.write(bytes(100_000))
        assert connection._send_seq == before + 4
        await _close([connection])

    _with_echo(use)


def test_a_stock_cipher_takes_the_long_way(world: MakeWorld) -> None:
    """A connection whose cipher is not AES-GCM works as asyncssh's own."""
    here = world(1)

    async def use(address: Address) -> None:
        sshd = here.sshds[0]
        connection = await connect_lean(
            Address(*sshd.address),
            through=None,
            window_bytes=2**21,
            username=here.user,
            known_hosts=([asyncssh.import_public_key(sshd.host_key)], [], []),
            client_keys=[here.credentials.client_key],
            config=None,
            agent_path=None,
            encryption_algs=["aes256-ctr"],
        )
        assert not connection.seals
        assert await _echoed(connection, address, _BODY) == _BODY + b"bye"
        await _close([connection])

    _with_echo(use)


def test_the_round_trip_is_that_of_the_path(world: MakeWorld) -> None:
    """Through a proxy that delays each way by 60 ms the round trip is at least 120 ms; without one it is less."""
    here = world(1)

    async def use(_address: Address) -> None:
        async with delaying_proxy(Address(*here.sshds[0].address), 0.06) as delayed:
            (far,) = await _reach(here, 1, delayed)
            (near,) = await _reach(here, 1)
            assert far.round_trip_s >= 0.12
            assert 0 < near.round_trip_s < far.round_trip_s
            await _close([far])
            await _close([near])

    _with_echo(use)
