"""The connector's HTTP door: two paths, one question per connection, everything capped and with a deadline."""

import asyncio
import logging
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from catalog.errors import InvalidValue
from catalog.messages.handshake_json import AUTHORIZATIONS_PATH, BODY_LIMIT_BYTES, INFORMATION_PATH, REFUSALS, Refusal
from catalog.messages.handshake_shapes import AuthorizationQuestion, Question
from catalog.messages.signing_key import load_or_create_key
from gateway.connector.exchange import Exchange, QuestionRefused
from gateway.connector.going_out import go_out, load_dial_key
from gateway.connector.joining import OpenJoins, open_joins
from gateway.connector.settings import ConnectorSettings, read_settings
from gateway.connector.state import RequestChanged, State

log = logging.getLogger(__name__)

_CONNECTION_DEADLINE_S = 10.0
_HANDSHAKE_DEADLINE_S = 5.0
_BODY_DEADLINE_S = 5.0
_LINGERING_S = 1.0  # reading on after a refusal, so that it is not lost to a reset
_STATE_DEADLINE_S = 5.0
_CONNECTION_LIMIT = 64
_BACKLOG = 32


class Clock(Protocol):
    """The only source of wall time."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch (UTC)."""
        ...


class Connector:
    """A platform's connector: its settings, decisions and key, answering over HTTP while ``listening``."""

    def __init__(self, config_path: Path, clock: Clock) -> None:
        """Read the file, the keys and the decisions. Raises InvalidValue for whatever is wrong with them."""
        self._config_path = config_path
        self._clock = clock
        self._settings = read_settings(config_path)
        self._policy = self._settings.policy
        self._state = State(self._settings.state_file)
        self._key = load_or_create_key(self._settings.key_file)
        self._dial_key = load_dial_key(self._settings.outward)
        self._exchange = Exchange(
            platform=self._settings.platform, gateway_key=self._settings.gateway_key, key=self._key
        )

    def reload(self) -> None:
        """Take the policy and service information from the file again; a file with a mistake changes nothing.

        The [connector] table is read at the start only.
        """
        try:
            settings = read_settings(self._config_path)
        except InvalidValue as error:
            log.error("policy not reloaded, the old one stays", extra={"reason": str(error)})  # noqa: TRY400 our own text
            return
        self._policy = settings.policy
        if _fixed(settings) != _fixed(self._settings):
            log.warning("the [connector] table changed; restart to apply it", extra={"file": str(self._config_path)})
        log.info("policy reloaded", extra={"file": str(self._config_path)})

    @asynccontextmanager
    async def joining(self) -> AsyncIterator[OpenJoins]:
        """Give the local ports that lead to other platforms, listening. Raises InvalidValue for one in use."""
        with open_joins(self._settings.outward.joins) as joins:
            yield joins

    async def go_out(self, joins: OpenJoins) -> None:
        """Do what the file says that the connector does by itself, until cancelled; nothing, if it says nothing."""
        await go_out(self._settings, key=self._key, dial_key=self._dial_key, clock=self._clock, joins=joins)

    @asynccontextmanager
    async def listening(self, *, deadline_s: float = _CONNECTION_DEADLINE_S) -> AsyncIterator[tuple[str, int]]:
        """Answer questions until the block ends; gives the host and port that were bound.

        A connection is cut ``deadline_s`` after it was made, whether its question was answered or not.
        """
        tls = _tls(self._settings)
        listener = _listener(self._settings.listen)
        door = web.Server(self._answered)
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"access_log": None, "auto_decompress": False, "lingering_time": _LINGERING_S}
        server = await loop.create_server(
            lambda: _OneAnswer(door, deadline_s=deadline_s, loop=loop, **options),
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=_HANDSHAKE_DEADLINE_S if tls else None,
            backlog=_BACKLOG,
        )
        host, port = listener.getsockname()[:2]
        log.info("connector listening", extra={"platform": self._settings.platform, "host": host, "port": port})
        try:
            yield host, port
        finally:
            server.close()
            await door.shutdown(1.0)

    async def _answered(self, request: web.BaseRequest) -> web.Response:
        try:
            response = await self._answer(request.method, request.path, await _body(request))
        except QuestionRefused as refused:
            response = _refused(refused.refusal, request)
        response.force_close()
        return response

    async def _answer(self, method: str, path: str, body: bytes) -> web.Response:
        if path not in (INFORMATION_PATH, AUTHORIZATIONS_PATH):
            raise QuestionRefused(Refusal.UNKNOWN_PATH)
        if method != "POST":
            raise QuestionRefused(Refusal.WRONG_METHOD)
        if path == INFORMATION_PATH:
            question = self._exchange.admit(body, Question, self._clock.now_s())
            return web.json_response(self._exchange.information(question, self._policy.service))
        return await self._decided(self._exchange.admit(body, AuthorizationQuestion, self._clock.now_s()))

    async def _decided(self, question: AuthorizationQuestion) -> web.Response:
        request = question.authorization_request()
        if (request.platform, request.gateway) != (question.platform, question.gateway):
            raise QuestionRefused(Refusal.WRONG_PLATFORM)
        try:
            async with asyncio.timeout(_STATE_DEADLINE_S):
                # In a thread, because it waits for the disk: the answer leaves only when the decision is durable.
                decision = await asyncio.to_thread(self._state.settle, request, self._policy, self._clock.now_s())
        except RequestChanged as error:
            raise QuestionRefused(Refusal.CHANGED_REQUEST) from error
        except (sqlite3.Error, TimeoutError) as error:
            log.exception("decision not durable, nothing answered", extra={"request": request.request_id})
            raise QuestionRefused(Refusal.BUSY) from error
        granted = [grant.capability for grant in decision.granted]
        facts: dict[str, Any] = {"request": request.request_id, "granted": granted, "pending": decision.pending}
        log.info("capability request decided", extra=facts)
        if not granted and not decision.pending:
            return web.Response(status=204)  # only a grant is answered
        return web.json_response(self._exchange.decision(question, decision))


class _OneAnswer(web.RequestHandler):
    """One connection, cut after ``deadline_s`` whatever it is doing, and at once when there are too many.

    aiohttp has no deadline for headers or bodies of its own, and keeps idle connections for an hour.
    """

    __slots__ = ("_cut", "_deadline_s")

    def __init__(self, door: web.Server, *, deadline_s: float, **options: Any) -> None:
        super().__init__(door, **options)
        self._deadline_s = deadline_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        loop = asyncio.get_running_loop()
        self._cut = loop.call_later(self._deadline_s, transport.abort)
        assert self._manager is not None
        if len(self._manager.connections) > _CONNECTION_LIMIT:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cut.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse what is not HTTP quietly: aiohttp logs a traceback for it, with which anybody could fill our disk."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return super().handle_error(request, status, exc, message)
        response = _refused(Refusal.MALFORMED, request)
        response.force_close()
        return response


def _refused(refusal: Refusal, request: web.BaseRequest) -> web.Response:
    log.warning("question refused", extra={"refusal": refusal.value, "peer": request.remote})
    status, detail = REFUSALS[refusal]
    # The name alone: versions help whoever looks for a weak one.
    return web.json_response({"code": refusal.value, "detail": detail}, status=status, headers={"Server": "crossway"})


async def _body(request: web.BaseRequest) -> bytes:
    """Return the body. Raises QuestionRefused when it is too large or too slow."""
    if (request.content_length or 0) > BODY_LIMIT_BYTES:
        raise QuestionRefused(Refusal.TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_DEADLINE_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise QuestionRefused(Refusal.TOO_LARGE)
    except TimeoutError as error:
        raise QuestionRefused(Refusal.TOO_SLOW) from error
    except (ConnectionError, web.RequestPayloadError) as error:  # cut, or broken chunks
        raise QuestionRefused(Refusal.MALFORMED) from error
    return bytes(body)


def _listener(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        if host == "fd":
            return socket.socket(fileno=int(port))
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidValue(f"connector.listen: cannot listen on {listen}: {error}", field="connector.listen") from error


def _tls(settings: ConnectorSettings) -> ssl.SSLContext | None:
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidValue(
            f"connector.tls_cert_file, connector.tls_key_file: no usable certificate and key: {error}",
            field="connector.tls_cert_file",
        ) from error
    return context


def _fixed(settings: ConnectorSettings) -> tuple[object, ...]:
    """Return what a reload cannot change."""
    return (
        settings.listen,
        settings.platform,
        settings.key_file,
        settings.gateway_key,
        settings.state_file,
        settings.tls_cert_file,
        settings.tls_key_file,
        settings.outward,
    )
