"""Open lean connections, over TCP or from the end of another connection, with asyncssh's own options."""

import asyncio
from collections.abc import Callable
from typing import cast

import asyncssh

from routing.topology import Address
from routing.tunnel.packets import LeanConnection


async def connect_lean(
    address: Address,
    *,
    through: asyncssh.SSHClientConnection | None,
    window_bytes: int,
    kind: Callable[..., LeanConnection] = LeanConnection,
    **options: object,
) -> LeanConnection:
    """Return a connection to ``address`` that is logged in; ``through`` None dials from here.

    ``window_bytes`` is the window of the channel that carries it. ``options`` are those of ``asyncssh.connect``, as are
    the errors. Nothing is left open when it fails or is cancelled.
    """
    loop = asyncio.get_running_loop()
    # Not by its ``construct``, which would do so in a thread, for options that read files: these are in memory.
    settled: asyncssh.SSHClientConnectionOptions = asyncssh.SSHClientConnectionOptions(
        loop=loop, host=address.host, port=address.port, **options
    )
    settled.waiter = loop.create_future()

    def made() -> LeanConnection:
        return kind(loop, settled, wait="auth")

    if through is None:
        _, connection = await loop.create_connection(made, address.host, address.port)
    else:
        # asyncssh's own connections serve as sessions of a channel in the same way, and are not declared to either.
        session = cast("Callable[[], asyncssh.SSHTCPSession[bytes]]", made)
        carried = await _carried(through, session, address, window_bytes)
        connection = cast("LeanConnection", carried)
    is_logged_in = False
    try:
        await settled.waiter
        is_logged_in = True
    finally:
        if not is_logged_in:
            connection.abort()
            await connection.wait_closed()
    return connection


async def _carried(
    through: asyncssh.SSHClientConnection,
    session: Callable[[], asyncssh.SSHTCPSession[bytes]],
    address: Address,
    window_bytes: int,
) -> asyncssh.SSHTCPSession[bytes]:
    """Return the session of a new channel to ``address``. When cancelled, one that is opened later is closed at once.

    Others use ``through`` too, and would keep what asyncssh leaves behind of a cancelled open for as long as it stands;
    therefore the open runs in a task of the connection.
    """
    channel: asyncssh.SSHTCPChannel[bytes] = through.create_tcp_channel(window=window_bytes)
    answer: asyncio.Future[asyncssh.SSHTCPSession[bytes]] = asyncio.get_running_loop().create_future()

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

    through.create_task(run())
    return await answer
