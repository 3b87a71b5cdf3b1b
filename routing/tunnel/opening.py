"""Open channels over a connection that others use too, leaving nothing behind when the caller gives up."""

import asyncio
from collections.abc import Callable

import asyncssh

from routing.topology import Address

Session = asyncssh.SSHTCPSession[bytes]


async def open_session(
    connection: asyncssh.SSHClientConnection, session: Callable[[], Session], address: Address, window_bytes: int
) -> Session:
    """Return the session of a new direct-tcpip channel to ``address``, made by ``session`` when it stands.

    Raises asyncssh.ChannelOpenError. When cancelled, a channel that the relay opens later is closed as soon as it is
    there: asyncssh would otherwise keep it, without a session, until the connection ends. Therefore the open runs in
    a task of the connection, which outlives this call but not the connection.
    """
    channel: asyncssh.SSHTCPChannel[bytes] = connection.create_tcp_channel(window=window_bytes)
    answer: asyncio.Future[Session] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        try:
            made = await channel.connect(session, address.host, address.port, "", 0)
        except asyncssh.ChannelOpenError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if answer.done():
                channel.abort()
            else:
                answer.set_result(made)

    connection.create_task(run())
    return await answer
