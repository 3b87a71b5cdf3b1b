"""Feeds: answers of server-sent events that go on until their reader leaves (WHATWG HTML, 9.2).

A reader that is slow holds up nobody: its feed reads the log only as fast as the reader takes it, and keeps nothing
but a number meanwhile.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from aiohttp import web

from catalog.errors import CatalogError
from gateway import telemetry
from gateway.api.edge import HEADERS
from gateway.api.services import ApiServices
from gateway.errors import GatewayError, MalformedRequest, TooManyReaders

log = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
RECONNECT_MS = 2000


def frame(*, seq: int | None = None, kind: str = "", document: Mapping[str, object] | None = None) -> bytes:
    """Return one event as it is sent; without ``document``, only the number from which a reader may go on."""
    lines = [f"id: {seq}"] if seq is not None else []
    if kind:
        lines.append(f"event: {kind}")
    if document is not None:
        lines.append(f"data: {json.dumps(document, allow_nan=False)}")
    return ("\n".join(lines) + "\n\n").encode()


def beat(seq: int) -> bytes:
    """Return what shows that the feed stands, and up to which number nothing more was to be told."""
    return b": still here\n" + frame(seq=seq)


async def feed_over(request: web.Request, frames: AsyncGenerator[bytes], services: ApiServices) -> web.StreamResponse:
    """Send ``frames`` until they or their reader end, and return what was answered.

    Raises what the first of ``frames`` raises before anything is answered, MalformedRequest for a caller that does not
    say that it can read a feed (one that waits for the end of the answer would wait for ever), TooManyReaders.
    """
    if MEDIA_TYPE not in request.headers.get("Accept", ""):
        raise MalformedRequest("this answer has no end", field="Accept", fix=f"Accept: {MEDIA_TYPE}")
    changes = services.changes
    if changes.waiting >= services.limits.watchers:
        raise TooManyReaders("too many callers wait for changes now", fix="come back soon, or read by pages")
    with changes.reading(), services.metrics.watchers.track_inprogress():
        async with aclosing(frames):
            first = await anext(frames)
            response = web.StreamResponse(headers={**HEADERS, "Content-Type": MEDIA_TYPE})
            response.headers["X-Request-Id"] = telemetry.request_id.get()
            try:
                await response.prepare(request)
                await _send(request, response, f"retry: {RECONNECT_MS}\n".encode() + first, services)
                await _send_all(request, response, frames, services)
            except ConnectionError:
                log.debug("the reader of a feed is gone")
    return response


async def _send_all(
    request: web.Request, response: web.StreamResponse, frames: AsyncGenerator[bytes], services: ApiServices
) -> None:
    try:
        async for each in frames:
            await _send(request, response, each, services)
    except (CatalogError, GatewayError) as error:
        # The head is gone out already: the reason is the last event.
        told = {"code": error.code, "detail": str(error), "fix": error.fix}
        await _send(request, response, frame(kind="end", document=told), services)


async def _send(request: web.Request, response: web.StreamResponse, data: bytes, services: ApiServices) -> None:
    try:
        async with asyncio.timeout(services.limits.feed_stall_s):
            await response.write(data)
    except TimeoutError:
        log.info("a reader of a feed stalled and is cut off")
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader of a feed stalled") from None
