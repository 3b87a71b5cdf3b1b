"""One HTTP exchange with a gateway over TCP, TLS or a Unix socket, on ``http.client`` alone.

A connection per request: a command makes a handful, and a kept one would be stale after every restart
of the gateway. Redirects are not followed, for a token must not travel where nobody sent it.
"""

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlencode

from gateway.client.address import ServerAddress
from gateway.client.problems import AnswerUnreadable, ServerUnreachable, problem_of

# No answer of this API comes near it; a stream that never ends must not fill our memory.
ANSWER_LIMIT_BYTES = 32 * 1024 * 1024
ATTEMPTS = 3
PAUSE_S = 0.2
# What a gateway asks us to wait (Retry-After) is believed up to here.
LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: ``status`` below 400 always, header names in lower case, ``body`` None when there was none."""

    status: int
    headers: Mapping[str, str]
    body: object

    @property
    def etag(self) -> str:
        """The version tag with its quotes, as If-Match wants it; empty when there was none."""
        return self.headers.get("etag", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange as it went, for whoever wants to see the traffic. Holds no token and no body."""

    method: str
    path: str
    status: int | None  # None when no answer came
    elapsed_ms: float
    request_id: str


def _ignore(exchange: Exchange) -> None:
    """Watch nothing."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """How to reach one gateway, and as whom. ``timeout_s`` bounds the silence between two bytes."""

    address: ServerAddress
    # The token never shows: this object may end up in a traceback.
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    pause: Callable[[float], None] = time.sleep
    clock_s: Callable[[], float] = time.monotonic
    on_exchange: Callable[[Exchange], None] = _ignore

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        extra_wait_s: float = 0.0,
    ) -> Answer:
        """Return the gateway's answer. ``extra_wait_s`` is how long it was asked to think before it answers.

        A POST carries an Idempotency-Key, made here unless ``headers`` has one, so that it is as safe to repeat
        as a GET: both are repeated a few times when the connection is lost or the gateway asks for patience
        (429, or 409 for a POST whose first copy is still running). Other methods are sent once.
        Raises ApiProblem, ServerUnreachable or AnswerUnreadable.
        """
        sent = self._headers(method, body, headers or {})
        target = f"{path}?{urlencode(query)}" if query else path
        payload = None if body is None else json.dumps(body, allow_nan=False).encode()
        attempts = ATTEMPTS if method in {"GET", "POST"} else 1
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                status, received, raw = self._exchange(method, target, payload, sent, self.timeout_s + extra_wait_s)
            except ServerUnreachable:
                if last:
                    raise
                self.pause(PAUSE_S * attempt)
                continue
            patience_s = _patience_s(method, status, received)
            if patience_s is not None and not last:
                self.pause(patience_s)
                continue
            return self._answer(status, received, raw)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def feed(
        self, path: str, *, query: Mapping[str, str | int] | None = None, line_limit_bytes: int
    ) -> Iterator[Iterator[str]]:
        """Yield the lines of an answer that goes on (server-sent events), without their ends, until it ends.

        Raises ApiProblem, ServerUnreachable (also when it breaks off) or AnswerUnreadable.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        headers = self._headers("GET", None, {"Accept": "text/event-stream"})
        connection = _connection(self.address, self.timeout_s)
        try:
            connection.request("GET", target, headers=dict(headers))
            response = connection.getresponse()
            if response.status != HTTPStatus.OK:
                raw = response.read(ANSWER_LIMIT_BYTES + 1)
                self._answer(response.status, {name.lower(): value for name, value in response.getheaders()}, raw)
                raise AnswerUnreadable(str(self.address), f"no feed but status {response.status}")
            yield self._lines(response, line_limit_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnreachable(str(self.address), _why(error)) from error
        finally:
            connection.close()

    def _lines(self, response: http.client.HTTPResponse, limit: int) -> Iterator[str]:
        while line := response.readline(limit + 1):
            if len(line) > limit:
                raise AnswerUnreadable(str(self.address), f"a line of more than {limit} bytes")
            yield line.decode(errors="replace").rstrip("\r\n")

    def _headers(self, method: str, body: Mapping[str, object] | None, extra: Mapping[str, str]) -> Mapping[str, str]:
        sent = {"Accept": "application/json", "User-Agent": "crossway-client", "Connection": "close"}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        if method == "POST":
            sent["Idempotency-Key"] = os.urandom(16).hex()
        return {**sent, **extra}

    def _exchange(
        self, method: str, target: str, payload: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = _connection(self.address, timeout_s)
        began_s, status, request_id = self.clock_s(), None, ""
        try:
            connection.request(method, target, body=payload, headers=dict(headers))
            response = connection.getresponse()
            raw = response.read(ANSWER_LIMIT_BYTES + 1)
            received = {name.lower(): value for name, value in response.getheaders()}
            status, request_id = response.status, received.get("x-request-id", "")
        except TimeoutError as error:
            raise ServerUnreachable(str(self.address), f"silent for {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnreachable(str(self.address), _why(error)) from error
        else:
            return status, received, raw
        finally:
            connection.close()
            self.on_exchange(
                Exchange(
                    method=method,
                    path=target,
                    status=status,
                    elapsed_ms=(self.clock_s() - began_s) * 1000,
                    request_id=request_id,
                )
            )

    def _answer(self, status: int, headers: Mapping[str, str], raw: bytes) -> Answer:
        if len(raw) > ANSWER_LIMIT_BYTES:
            raise AnswerUnreadable(str(self.address), f"more than {ANSWER_LIMIT_BYTES} bytes")
        if 300 <= status < 400 and status != HTTPStatus.NOT_MODIFIED:  # noqa: PLR2004 - HTTP's class of redirects
            raise AnswerUnreadable(str(self.address), f"a redirect (status {status})")
        is_json = "json" in headers.get("content-type", "")
        if status >= HTTPStatus.BAD_REQUEST:
            document = self._decoded(raw) if is_json else None
            request_id = headers.get("x-request-id", "")
            raise problem_of(status, document if isinstance(document, dict) else {}, request_id)
        if not raw:
            return Answer(status=status, headers=headers, body=None)
        return Answer(
            status=status, headers=headers, body=self._decoded(raw) if is_json else raw.decode(errors="replace")
        )

    def _decoded(self, raw: bytes) -> object:
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise AnswerUnreadable(str(self.address), "the body is not the JSON it says it is") from error


def _patience_s(method: str, status: int, headers: Mapping[str, str]) -> float | None:
    """Return how long to pause before asking again, or None when the answer is final.

    A 409 asks for patience only when it says for how long; a 503 is told to the caller, for what is away may
    be a cloud that stays away.
    """
    asked = headers.get("retry-after", "")
    repeatable = status == HTTPStatus.TOO_MANY_REQUESTS or (method == "POST" and status == HTTPStatus.CONFLICT)
    return min(float(asked), LONGEST_PAUSE_S) if repeatable and asked.isdigit() else None


def _connection(address: ServerAddress, timeout_s: float) -> http.client.HTTPConnection:
    if address.kind == "unix":
        return _UnixConnection(address.path, timeout_s)
    if address.kind == "https":
        return http.client.HTTPSConnection(address.host, address.port, timeout=timeout_s)
    return http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _why(error: Exception) -> str:
    """Return what happened in words: an errno's text, or the kind of protocol error (never its bytes)."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the connection was lost" if isinstance(error, OSError) else f"{type(error).__name__} in its answer"
