"""Streams of bytes into platforms' networks, as WebSockets; ``gateway.streams.wire`` has the protocol."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiohttp import WSCloseCode, web

from catalog.errors import CloudTimedOut, CloudUnavailable, InvalidValue, NotFound, PassageEnded, WrongState
from gateway.api.bodies import Nothing
from gateway.api.endpoints import Call, Routes
from gateway.connections.streams import Stream
from gateway.errors import MalformedRequest
from gateway.streams.wire import ENDED, StreamBroken, carry, close, keep_alive

log = logging.getLogger(__name__)

routes = Routes("streams")

_PORT_DIGITS = 5


@routes.stream(
    "/v1/streams",
    permission="passage:open",
    takes_signed=True,
    errors=(InvalidValue, NotFound, WrongState, CloudUnavailable, CloudTimedOut),
    filters={
        "platform": "Into which platform's network, by name or id.",
        "host": "A name or address there; names are resolved where the tunnel ends.",
        "port": "A TCP port.",
    },
    summary="Open a stream into a platform's network, as a WebSocket",
)
@asynccontextmanager
async def open_stream(call: Call[Nothing]) -> AsyncIterator[Stream]:
    """Give the stream while the block lasts."""
    missing = [name for name in ("platform", "host", "port") if name not in call.filters]
    if missing:
        raise MalformedRequest("the query parameter is missing", field=missing[0], fix="?platform=…&host=…&port=…")
    port = call.filters["port"]
    if not port.isdecimal() or len(port) > _PORT_DIGITS:
        raise InvalidValue("this is not a TCP port", field="port", fix="1..65535")
    opening = call.services.open_stream(
        call.principal, call.filters["platform"], host=call.filters["host"], port=int(port)
    )
    async with opening as stream:
        yield stream


async def stream_over(request: web.Request, opening: AbstractAsyncContextManager[Stream]) -> web.StreamResponse:
    """Carry the stream that ``opening`` gives over ``request``'s WebSocket until it ends, and return what was answered.

    Raises what ``opening`` does before anything is answered, and MalformedRequest for what is no WebSocket: nothing is
    dialled for one who could not use it.
    """
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise MalformedRequest("this is a WebSocket", field="Upgrade", fix="Upgrade: websocket, as RFC 6455 has it")
    web_socket = web.WebSocketResponse(compress=False, max_msg_size=0)
    code, reason = int(WSCloseCode.GOING_AWAY), "the gateway is going down"
    try:
        async with opening as stream:
            await web_socket.prepare(request)
            keep_alive(request.get_extra_info("socket"))
            await carry(web_socket, stream)
            code, reason = WSCloseCode.OK, ""
    except (PassageEnded, StreamBroken) as error:
        if not web_socket.prepared:
            raise
        code, reason = (ENDED if isinstance(error, PassageEnded) else error.code), str(error)
        log.info("stream cut", extra={"reason": reason})
    finally:
        if web_socket.prepared:
            await close(web_socket, code, reason)
    return web_socket
