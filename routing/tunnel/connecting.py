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
    kind: type[LeanConnection] = LeanConnection,
    **options: object,
) -> LeanConnection:
    """Return a connection to ``address`` that is logged in; ``through`` None dials from here.

    ``window_bytes`` is the window of the channel that carries it. ``options`` are those of ``asyncssh.connect``, as are
    the errors. Nothing is left open when it fails or is cancelled.
    """
    loop = asyncio.get_running_loop()
    settled: asyncssh.SSHClientConnectionOptions = await asyncssh.SSHClientConnectionOptions.construct(
        host=address.host, port=address.port, **options
    )
    settled.waiter = loop.create_future()

    def made() -> LeanConnection:
        return kind(loop, settled, wait="auth")

    if through is None:
        _, connection = await loop.create_connection(made, address.host, address.port)
    else:
        # asyncssh's own connections serve as sessions of a channel in the same way, and are not declared to either.
        session = cast("Callable[[], asyncssh.SSHTCPSession[bytes]]", made)
        _, carried = await through.create_connection(session, address.host, address.port, window=window_bytes)
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
