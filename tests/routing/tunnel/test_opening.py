"""An open that is given up leaves no channel behind on a connection that others go on using."""

import asyncio

import asyncssh

from routing.tunnel.opening import open_session
from tests.routing.world import MakeWorld, echo_server
from tests.support.waiting import wait_until

_WINDOW_BYTES = 256 * 1024


def test_a_channel_that_opens_after_we_gave_up_is_closed(world: MakeWorld) -> None:
    """The relay is silent until we have given up; what it opens after that is closed, and the relay stays in use."""
    here = world(1)

    async def run() -> None:
        made: list[asyncssh.SSHTCPSession[bytes]] = []

        def session() -> asyncssh.SSHTCPSession[bytes]:
            made.append(asyncssh.SSHTCPSession())
            return made[-1]

        async with echo_server() as address, here.pool() as pool:
            connection = (await pool.lease(("r1",), here.topology())).connection
            await asyncio.to_thread(here.sshds[0].freeze)
            async with asyncio.TaskGroup() as group:
                opening = group.create_task(open_session(connection, session, address, _WINDOW_BYTES))
                await asyncio.to_thread(wait_until, lambda: bool(connection._channels), "the channel is asked for")
                opening.cancel()
            await asyncio.to_thread(here.sshds[0].thaw)
            await asyncio.to_thread(wait_until, lambda: bool(made), "the relay opens it")
            await asyncio.to_thread(wait_until, lambda: not connection._channels, "it is closed")
            await open_session(connection, session, address, _WINDOW_BYTES)
            assert (len(made), len(connection._channels)) == (2, 1)

    asyncio.run(run())
