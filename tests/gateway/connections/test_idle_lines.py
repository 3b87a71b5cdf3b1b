"""Unused lines: the last used is the next one used, none is kept for too long, and nothing is left open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from catalog.ports import Address, ApprovedEndpoint
from gateway.connections.idle_lines import IdleLines
from gateway.connections.lines import Line, open_line
from routing.candidates import Route
from routing.topology import Address as RoutedAddress
from routing.tunnel.policy import TunnelPolicy
from routing.tunnel.tunnel import Tunnel
from tests.support.http_ledger import ledger_server


@asynccontextmanager
async def way() -> AsyncIterator[tuple[Tunnel, ApprovedEndpoint]]:
    """Give a direct tunnel to a server, and the server's endpoint."""
    async with ledger_server() as (_server, dial):
        address = RoutedAddress(dial.host, dial.port)
        tunnel = Tunnel(Route((), "cloud"), None, target_address=address, policy=TunnelPolicy())
        yield tunnel, ApprovedEndpoint(url=f"http://{dial}", dial=dial)
        await tunnel.close()


async def line_over(tunnel: Tunnel) -> Line:
    """Return a fresh line over ``tunnel``."""
    return await open_line(await tunnel.open_socket(tunnel.target_address, 20), None, "cloud.test")


def test_the_last_used_is_taken_first() -> None:
    """Lines come back last in, first out, only for the same endpoint, and no more than the limit are kept."""

    async def run() -> None:
        async with way() as (tunnel, endpoint):
            idle = IdleLines(limit=2, idle_s=60)
            first, second, third = [await line_over(tunnel) for _ in range(3)]
            for line in (first, second, third):
                await idle.put(tunnel, endpoint, line)
            assert not third.is_open
            other = ApprovedEndpoint(url=endpoint.url, dial=Address(host="127.0.0.2", port=1))
            assert idle.take(tunnel, other) is None
            assert (idle.take(tunnel, endpoint), idle.take(tunnel, endpoint)) == (second, first)
            assert idle.take(tunnel, endpoint) is None
            await first.close()
            await second.close()

    asyncio.run(run())


def test_what_is_of_no_more_use_is_closed() -> None:
    """Too old, closed by somebody, or over a tunnel that is not used any more: swept, and not given out before."""

    async def run() -> None:
        async with way() as (tunnel, endpoint):
            at_once, idle = IdleLines(limit=8, idle_s=0), IdleLines(limit=8, idle_s=60)
            old, gone, good = [await line_over(tunnel) for _ in range(3)]
            await at_once.put(tunnel, endpoint, old)
            assert at_once.take(tunnel, endpoint) is None
            await at_once.sweep({tunnel})
            await idle.put(tunnel, endpoint, good)
            await idle.put(tunnel, endpoint, gone)
            gone.abort()
            assert idle.take(tunnel, endpoint) is good
            await idle.put(tunnel, endpoint, good)
            await idle.sweep({tunnel})
            assert (old.is_open, gone.is_open, good.is_open, len(at_once), len(idle)) == (False, False, True, 0, 1)
            await idle.sweep(())
            assert (good.is_open, len(idle)) == (False, 0)

    asyncio.run(run())


def test_sweeps_do_not_get_in_each_other_s_way() -> None:
    """Several sweeps at once, while lines come and go, close each line once and lose none."""

    async def run() -> None:
        async with way() as (tunnel, endpoint):
            idle = IdleLines(limit=8, idle_s=60)
            lines = [await line_over(tunnel) for _ in range(4)]
            for line in lines:
                await idle.put(tunnel, endpoint, line)
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(idle.sweep(()))
            assert [line.is_open for line in lines] == [False] * 4
            assert not idle.has(tunnel, endpoint)

    asyncio.run(run())
