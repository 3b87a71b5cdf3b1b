"""Use what another platform grants: local ports whose connections lead through the gateway into its network.

Each connection is a stream of its own, asked for with this platform's signature; the gateway looks at the other owner's
grant, and at its consent to the connection between the two, each time and as long as the stream lasts.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from catalog.errors import InvalidValue
from gateway.client.problems import ApiProblem, ClientError
from gateway.connector.gateway_door import GatewayDoor
from gateway.connector.outward import Join
from gateway.streams.dial import StreamDialer, Target
from gateway.streams.doors import Local, serve
from gateway.streams.wire import StreamBroken, carry

log = logging.getLogger(__name__)

STREAMS_LIMIT = 128
_BACKLOG = 32

OpenJoins = Sequence[tuple[Join, socket.socket]]


@contextmanager
def open_joins(joins: Sequence[Join]) -> Iterator[OpenJoins]:
    """Give every join with its listening socket. Raises InvalidValue when an address cannot be had."""
    with ExitStack() as stack:
        yield [(join, stack.enter_context(_listener(join))) for join in joins]


async def serve_joins(joins: OpenJoins, door: GatewayDoor) -> None:
    """Carry whatever connects, until cancelled."""
    dialer = StreamDialer(server=door.access.server, ca_pem=door.access.ca_pem)
    async with asyncio.TaskGroup() as tasks:
        for join, listener in joins:
            tasks.create_task(_serve(join, listener, door, dialer))


async def _serve(join: Join, listener: socket.socket, door: GatewayDoor, dialer: StreamDialer) -> None:
    target = Target(platform=join.platform, host=join.to.host, port=join.to.port)

    async def work(local: Local) -> None:
        try:
            headers = {"Authorization": door.signed("GET", target.path)}
            async with dialer.opened(target, headers) as web_socket:
                await carry(web_socket, local)
        except (ClientError, StreamBroken) as error:
            code = error.code if isinstance(error, ApiProblem) else ""
            facts = {"platform": join.platform, "to": str(join.to), "reason": str(error), "code": code}
            log.warning("stream ended", extra=facts)

    # The owner's file says where to listen, and so who is served.
    await serve(listener, work, limit=STREAMS_LIMIT, lets_in=lambda _sock: True)


def _listener(join: Join) -> socket.socket:
    family = socket.AF_INET6 if ":" in join.listen.host else socket.AF_INET
    try:
        return socket.create_server((join.listen.host, join.listen.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidValue(
            f"join.listen: cannot listen at {join.listen}: {error.strerror or error}",
            field="join.listen",
            fix="an address of this host and a port that nobody has",
        ) from error
