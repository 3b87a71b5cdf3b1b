"""A tunnel's first channel is opened once, serves the first socket, and is not kept for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from routing.topology import Address
from tests.routing.world import MakeWorld
from tests.support.waiting import wait_until


class _Greeter:
    """A target that greets with how many came before, and counts who came and who went."""

    def __init__(self) -> None:
        self.came = 0
        self.went = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Address]:
        """Give its address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield Address(*server.sockets[0].getsockname()[:2])
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % self.came)
        self.came += 1
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.went += 1


@pytest.mark.parametrize("relays", [1, 3])
def test_what_verified_the_target_is_the_first_socket(world: MakeWorld, relays: int) -> None:
    """Building and the first socket cost the target one connection, the second socket another; each hears its own."""
    here, greeter = world(relays), _Greeter()

    async def run() -> None:
        async with greeter.listening() as address:
            tunnel = await here.build(address)
            assert tunnel.channels_open == 0
            for number in (b"0", b"1"):
                with await tunnel.open_socket(address, 20) as connection:
                    assert await asyncio.to_thread(connection.recv, 8) == number
                    assert tunnel.channels_open == 1
                await asyncio.to_thread(wait_until, lambda: tunnel.channels_open == 0, "the socket is closed")
            assert (greeter.came, tunnel.channels_opened) == (2, 2)
            await tunnel.close()

    asyncio.run(run())


def test_nobody_else_gets_it(world: MakeWorld) -> None:
    """A socket to another address is opened there, and the first channel waits on for its own."""
    here, greeter, other = world(1), _Greeter(), _Greeter()

    async def run() -> None:
        async with greeter.listening() as address, other.listening() as elsewhere:
            tunnel = await here.build(address)
            with await tunnel.open_socket(elsewhere, 20) as connection:
                assert await asyncio.to_thread(connection.recv, 8) == b"0"
            assert (greeter.came, other.came) == (1, 1)
            await tunnel.close()

    asyncio.run(run())


@pytest.mark.parametrize("closes", [True, False], ids=["with its tunnel", "by itself"])
def test_it_ends_unused(world: MakeWorld, *, closes: bool) -> None:
    """Nobody wants a socket: the target is let go of with the tunnel, or after a while; a later socket is a new one."""
    here, greeter = world(1), _Greeter()

    async def run() -> None:
        async with greeter.listening() as address:
            tunnel = await here.build(address)
            if closes:
                await tunnel.close()
            await asyncio.to_thread(wait_until, lambda: greeter.went == 1, "the target is let go of")
            if not closes:
                with await tunnel.open_socket(address, 20) as connection:
                    assert await asyncio.to_thread(connection.recv, 8) == b"1"
                await tunnel.close()

    asyncio.run(run())
