"""Run libcloud's HTTP through a platform's tunnel, with no listening port.

The URL stays what it is, so Host header, SNI and signatures name the real cloud; only the dial changes: the
connection classes below take their socket from the platform's ``Dialer``. They are bound where every libcloud
driver passes, ``LibcloudBaseConnection.__init__``, and find their call in a context variable. Everything fails
closed: no call bound, an endpoint that no admin approved, a proxy or a redirect end in an error, and nothing
is sent.
"""

import contextvars
import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import requests
from libcloud.common.base import Connection
from libcloud.http import LibcloudBaseConnection, LibcloudConnection
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from catalog.endpoints import DEFAULT_PORTS, Target, verifying_context
from catalog.errors import CloudError, CloudMisbehaved, CloudTimedOut, DialRefused
from catalog.ports import Address, ApprovedEndpoint, Dialer
from drivers.clouds import egress_guard

_CHUNK_BYTES = 64 * 1024
_REDIRECTS = range(300, 400)
# What clouds call the id of a request, by which their owner finds it in their log.
_REQUEST_IDS = (
    "x-openstack-request-id",
    "x-compute-request-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-request-id",
)
_LONGEST_PAUSE_S = 3600
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


class AnswerTooLong(CloudMisbehaved):
    """The answer, or the list, is longer than this call may bring home."""


class Route:
    """The only ways out for one platform's driver: its approved endpoints, each by its dial address."""

    def __init__(
        self, endpoints: Sequence[ApprovedEndpoint], dialer: Dialer, *, body_limit_bytes: int, sockets_limit: int
    ) -> None:
        self.dialer = dialer
        self.body_limit_bytes = body_limit_bytes
        self.sockets_limit = sockets_limit
        self._addresses = {Target.of(endpoint.url): endpoint.dial for endpoint in endpoints}
        self._authorities = {Target.of(endpoint.url): endpoint.ca_pem for endpoint in endpoints}
        # Shared by the platform's threads: building one costs milliseconds, and OpenSSL contexts are thread-safe.
        self._contexts = {
            target: verifying_context(pem) for target, pem in self._authorities.items() if target.scheme == "https"
        }

    def address(self, target: Target) -> Address:
        """Return where to dial for ``target``. Raises DialRefused unless an admin approved exactly it."""
        try:
            return self._addresses[target]
        except KeyError:
            raise DialRefused(
                "the driver asked for an address that is not an approved endpoint of this platform",
                fix="approve the endpoint, with its dial address, if it is the cloud's own",
            ) from None

    def context(self, target: Target, client_certificate: tuple[str, str] | None) -> ssl.SSLContext | None:
        """Return the TLS settings for ``target``: its own authority alone. None for plain HTTP."""
        if client_certificate is None or target.scheme != "https":
            return self._contexts.get(target)
        context = verifying_context(self._authorities[target])
        context.load_cert_chain(*client_certificate)
        return context


class Call:
    """One driver call: its route, its deadline, and the sockets it opened, so that it can be cut from outside."""

    def __init__(
        self,
        route: Route,
        *,
        deadline_s: float,
        body_limit_bytes: int | None = None,
        total_limit_bytes: int | None = None,
    ) -> None:
        """``body_limit_bytes`` holds for each answer, ``total_limit_bytes`` for all of them; None: for no total."""
        self.route = route
        self.body_limit_bytes = body_limit_bytes or route.body_limit_bytes
        self.total_limit_bytes = total_limit_bytes
        self.taken_bytes = 0  # of all answers' bodies
        self.status: int | None = None  # of the last answer; None when the last request got none
        self.retry_after_s: int | None = None  # what the last answer asked for; None when it did not
        self.request_id = ""  # of the last answer, as the cloud calls it; "" when it does not
        self.refusal: CloudError | None = None  # the first thing we refused, even if the driver swallowed it
        self.started = False
        self._ends_s = time.monotonic() + deadline_s
        self._lock = threading.Lock()
        self._cut = False
        self._sockets: list[socket.socket] = []

    def remaining_s(self) -> float:
        """Return the seconds left. Raises CloudTimedOut when there are none."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0 or self._cut:
            raise self.refused(CloudTimedOut("the cloud gave no complete answer within the deadline"))
        return left_s

    def refused(self, error: CloudError) -> CloudError:
        """Note ``error`` as what this call ends in, whatever the driver makes of it, and return it."""
        if self.refusal is None:
            self.refusal = error
        return error

    def connect(self, target: Target) -> socket.socket:
        """Return a socket to ``target`` through the tunnel. Raises what Dialer.dial raises, and DialRefused."""
        timeout_s = self.remaining_s()
        try:
            address = self.route.address(target)
            with egress_guard.lifted():
                # An empty context: what the dialer starts elsewhere must not inherit this call.
                connected = contextvars.Context().run(self.route.dialer.dial, address, timeout_s=timeout_s)
        except CloudError as error:
            raise self.refused(error) from None
        try:
            self.keep(connected)
            connected.settimeout(self.remaining_s())
        except BaseException:
            # The deadline passed while dialling: nobody else knows of the socket yet.
            connected.close()
            raise
        return connected

    def cut(self) -> None:
        """End the call from another thread: its sockets are shut, so that a blocked read returns. May be repeated."""
        with self._lock:
            self._cut = True
            kept, self._sockets = self._sockets, []
        for kept_socket in kept:
            with suppress(OSError):
                kept_socket.shutdown(socket.SHUT_RDWR)
            kept_socket.close()

    @contextmanager
    def bound(self) -> Iterator[None]:
        """Let libcloud connections made in this block, in this thread, take this call's route. May be nested."""
        token = _CALL.set(self)
        try:
            with egress_guard.guarded(self.refused):
                yield
        finally:
            _CALL.reset(token)

    def keep(self, connected: socket.socket) -> None:
        """Shut ``connected`` too when the call is cut. Raises CloudMisbehaved past the most that one call may open."""
        # A duplicate, because wrapping a socket in TLS takes its descriptor away from the original object.
        duplicate = connected.dup()
        with self._lock:
            is_kept = len(self._sockets) < self.route.sockets_limit
            if is_kept:
                self._sockets.append(duplicate)
            cut = self._cut
        if not is_kept:
            duplicate.close()
            raise self.refused(CloudMisbehaved("the cloud needs more connections than one call may open"))
        if cut:
            self.cut()


_CALL: ContextVar[Call] = ContextVar("crossway_cloud_call")


def current_call() -> Call:
    """Return the call bound to this thread. Raises DialRefused when there is none."""
    call = _CALL.get(None)
    if call is None:
        raise DialRefused("libcloud was used outside of a routed call")
    return call


def install() -> None:
    """Route every libcloud connection of this process, and watch for the rest. May be called again."""
    egress_guard.install()
    # setattr, because replacing a library's methods is just what a type checker should not let pass unseen.
    for name, routed in _REPLACED.items():
        setattr(LibcloudBaseConnection, name, routed)
    # LIBCLOUD_DEBUG would write whole requests, secrets included, to a file.
    Connection.conn_class = LibcloudConnection
    # LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS would repeat creates.
    Connection.retryCls = _Once  # type: ignore[assignment]  # a decorator factory of the same shape


class RoutedAdapter(HTTPAdapter):
    """The requests adapter of a routed session: dial by the call, verify by the endpoint, cap and no redirects."""

    def __init__(self, client_certificate: tuple[str, str] | None = None) -> None:
        self._client_certificate = client_certificate
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:  # noqa: FBT001, FBT002 - requests' signature
        """Make the pools whose connections dial through the call."""
        super().init_poolmanager(connections, maxsize, block=block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def build_connection_pool_key_attributes(  # type: ignore[override]  # its TypedDicts are private to the stubs
        self, request: requests.PreparedRequest, verify: object, cert: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return where the request goes and how it is verified; what the session or driver said is ignored."""
        del verify, cert
        call = current_call()
        try:
            target = Target.of(request.url or "")
            call.route.address(target)
        except DialRefused as error:
            raise call.refused(error) from None
        context = call.route.context(target, self._client_certificate)
        return target._asdict(), {} if context is None else {"ssl_context": context}

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> None:
        """Do nothing: requests would add its own authorities to the endpoint's."""

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        """Send ``request`` and return the whole answer.

        Raises CloudMisbehaved for a redirect or a body past the limit, CloudTimedOut at the call's deadline.
        """
        call = current_call()
        call.status = None
        response = super().send(request, stream=True, timeout=call.remaining_s(), proxies=None)
        call.status = response.status_code
        call.retry_after_s = _retry_after_s(response)
        call.request_id = _request_id(response)
        with ExitStack() as closing:
            closing.callback(response.raw.close)
            if response.status_code in _REDIRECTS:
                # A redirect once carried a token to another machine; what is approved has no need of them.
                raise call.refused(CloudMisbehaved("the cloud answered with a redirect, which is never followed"))
            body = _read(response.raw, call)
        response.raw = io.BytesIO(body)
        # Guessing the encoding of megabytes takes seconds of pure Python; every API here speaks UTF-8.
        response.encoding = response.encoding or "utf-8"
        return response


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return current_call().connect(Target("http", self.host, self.port))


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return current_call().connect(Target("https", self.host, self.port))


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Once:
    """In place of libcloud's retry decorator: one try, whatever the environment says."""

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function


def _request_id(response: requests.Response) -> str:
    told = next((response.headers[name] for name in _REQUEST_IDS if name in response.headers), "")
    return told if _REQUEST_ID.fullmatch(told) else ""


def _retry_after_s(response: requests.Response) -> int | None:
    # A date, which the header may hold too, is of a clock that is not ours; nobody waits longer than an hour unasked.
    told = response.headers.get("Retry-After", "").strip()
    return min(int(told), _LONGEST_PAUSE_S) if re.fullmatch(r"[0-9]{1,9}", told) else None


def _read(raw: Any, call: Call) -> bytes:
    body = bytearray()
    for chunk in raw.stream(_CHUNK_BYTES, decode_content=True):
        body += chunk
        call.taken_bytes += len(chunk)
        if len(body) > call.body_limit_bytes:
            raise call.refused(AnswerTooLong("the cloud's answer is larger than any answer may be"))
        if call.total_limit_bytes is not None and call.taken_bytes > call.total_limit_bytes:
            raise call.refused(AnswerTooLong("the cloud's answers are longer than all of one call may be"))
        call.remaining_s()
    return bytes(body)


def _routed_init(self: Any) -> None:
    current_call()
    self.session = _routed_session(RoutedAdapter())
    self.ca_cert = None


def _routed_signing(self: Any, cert_file: str, key_file: str) -> None:
    # libcloud mounts an adapter of its own for certificate log-ins, which would dial by itself.
    self.session.mount("https://", RoutedAdapter((cert_file, key_file)))


def _routed_session(adapter: RoutedAdapter) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no HTTP_PROXY, no ~/.netrc
    for scheme in DEFAULT_PORTS:
        session.mount(f"{scheme}://", adapter)
    return session


def _refuse_proxy(_self: Any, proxy_url: str) -> None:
    del proxy_url
    raise current_call().refused(DialRefused("a driver asked for a proxy; the tunnel is the only way"))


_REPLACED: dict[str, Callable[..., None]] = {
    "__init__": _routed_init,
    "_setup_signing": _routed_signing,
    "set_http_proxy": _refuse_proxy,
}
