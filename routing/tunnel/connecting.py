"""Open lean connections, over TCP or from the end of another connection, with asyncssh's own options."""

import asyncio
from collections.abc import Callable
from typing import cast

import asyncssh

from routing.topology import Address
from routing.tunnel.opening import Session, open_session
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
        session = cast("Callable[[], Session]", made)
        connection = cast("LeanConnection", await open_session(through, session, address, window_bytes))
    is_logged_in = False
    try:
        await settled.waiter
        is_logged_in = True
    finally:
        if not is_logged_in:
            connection.abort()
            await connection.wait_closed()
    return connection
