"""A real EC2 API server for the demo and the tests: moto's own application, behind TLS, under the real host name.

    python -m gateway.demo.clouds.moto_ec2 --listen 127.0.0.1:0 --cert FILE --key FILE --accounts FILE

``--accounts`` is a JSON object of access key to secret; each key is an account of its own, and signatures are
checked. Prints ``{"listening": [host, port]}`` once it answers fast (the first calls, which load moto, are made
before) and ends cleanly on SIGTERM. Its state is in memory. ``POST /_faults`` puts fault rules in force, matched by
Action (see ``faults.py``); ``GET /_faults`` reports them; neither is authenticated.
"""

import argparse
import hashlib
import io
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from gateway.demo.clouds import aws_signature, moto_mends
from gateway.demo.clouds.faults import FaultKind, FaultRule, Faults
from gateway.demo.clouds.listening import listening_line, split_address

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]

_HANG_S: Final = 3600.0
_DRIP_PAUSE_S: Final = 0.05
_HUGE_BYTES: Final = 64 * 1024 * 1024
_HANDSHAKE_S: Final = 30.0
_XML: Final = "text/xml;charset=UTF-8"
_REQUEST_ID: Final = re.compile(rb"<[rR]equestI[dD]>([!-~]+?)</")
_IDEMPOTENT: Final = frozenset({"RunInstances", "CreateVolume"})
_CARRIED_OUT: Final = frozenset({FaultKind.LATENCY, FaultKind.LOST_REPLY, FaultKind.NOT_DRY})
_DRY: Final = re.compile(r"(^|&)DryRun=true(?=&|$)")
_NAMESPACES: Final = {
    "route53": "https://route53.amazonaws.com/doc/2013-04-01/",
    "elasticloadbalancing": "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/",
}
_VARYING: Final = frozenset({"Signature", "Timestamp"})
_STATUS_WORDS: Final = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes
    content_type: str = _XML
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Remembered:
    """What a client token stood for: the parameters of its first use, and the answer once there is one."""

    parameters: Mapping[str, list[str]]
    answer: Answer | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class MotoEdge:
    """The WSGI application in front of moto: signatures, client tokens, mends and faults."""

    def __init__(self, accounts: Mapping[str, str]) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._accounts = accounts
        self._faults = Faults()
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, ...], _Remembered] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ["PATH_INFO"] == "/_faults":
            return _sent(self._controlled(environ), start_response)
        parameters = parse_qs(_told(environ), keep_blank_values=True)
        rule = self._faults.take(parameters.get("Action", [""])[0])
        if rule is not None and rule.kind not in _CARRIED_OUT:
            return _faulty(rule, environ, start_response)
        if rule is not None:
            time.sleep(rule.delay_s)
            environ["crossway.not_dry"] = rule.kind is FaultKind.NOT_DRY
        answer = self._answer(environ, parameters)
        if rule is not None and rule.kind is FaultKind.LOST_REPLY:
            answer = _unavailable()
        return _sent(answer, start_response)

    def warm_up(self, regions: Iterable[str]) -> None:
        """Make the slow first calls of each account and region: moto loads itself and its records on them."""
        for region in regions:
            for key in self._accounts:
                for action in ("DescribeRegions", "DescribeImages", "DescribeInstances", "DescribeKeyPairs"):
                    self._from_moto(_warming_environ(action, key, region), key)

    def _controlled(self, environ: Environ) -> Answer:
        if environ["REQUEST_METHOD"] == "POST":
            length = int(environ.get("CONTENT_LENGTH") or 0)
            try:
                self._faults.replace(json.loads(environ["wsgi.input"].read(length)))
            except (ValueError, TypeError, LookupError):
                return Answer(400, b'{"error": "the body is not a list of fault rules"}', "application/json")
        return Answer(200, json.dumps(self._faults.report()).encode(), "application/json")

    def _answer(self, environ: Environ, parameters: Mapping[str, list[str]]) -> Answer:
        signed = aws_signature.scope(environ)
        secret = None if signed is None else self._accounts.get(signed.key)
        if signed is None or secret is None:
            return Answer(401, moto_mends.error_body("AuthFailure", "AWS was not able to validate the credentials"))
        if not aws_signature.is_genuine(environ, signed, secret):
            return Answer(403, moto_mends.error_body("SignatureDoesNotMatch", "The signature does not match"))
        token = parameters.get("ClientToken", [""])[0]
        action = parameters.get("Action", [""])[0]
        if token and action in _IDEMPOTENT:
            return self._once(environ, parameters, (signed.key, signed.region, action, token))
        return self._from_moto(environ, signed.key)

    def _once(self, environ: Environ, parameters: Mapping[str, list[str]], known_as: tuple[str, ...]) -> Answer:
        """Honour a client token as Amazon does; moto stores it and makes another machine."""
        asked = {name: value for name, value in parameters.items() if name not in _VARYING}
        with self._lock:
            remembered = self._tokens.setdefault(known_as, _Remembered(asked))
        with remembered.lock:
            if remembered.parameters != asked:
                words = "The client token was used with other parameters"
                return Answer(400, moto_mends.error_body("IdempotentParameterMismatch", words))
            answer = remembered.answer or self._from_moto(environ, known_as[0])
            if answer.status == HTTPStatus.OK:
                remembered.answer = answer
            return answer

    def _from_moto(self, environ: Environ, key: str) -> Answer:
        query = moto_mends.query_from_one(environ["QUERY_STRING"])
        mended = {
            **environ,
            "QUERY_STRING": _DRY.sub("", query) if environ.get("crossway.not_dry") else query,
            # moto has one account for every key unless told another.
            "HTTP_X_MOTO_ACCOUNT_ID": str(int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10**12).zfill(12),
        }
        statuses: list[str] = []
        body = b"".join(self._moto(mended, lambda status, _headers, _error=None: statuses.append(status)))
        return Answer(int(statuses[0].split()[0]), moto_mends.as_amazon_answers(body))


class TlsServer(ThreadedWSGIServer):
    """werkzeug's threaded server whose TLS handshakes run in the request's thread, so that none blocks the rest."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], application: MotoEdge, tls: ssl.SSLContext | None) -> None:
        super().__init__(*address, application, handler=_QuietHandler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_HANDSHAKE_S)
        with self._tls.wrap_socket(request, server_side=True) as wrapped:
            wrapped.settimeout(None)
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that refuse our certificate or go away are what tests are made of."""


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object, **__: object) -> None:
        """Say nothing."""


def _told(environ: Environ) -> str:
    """Return the call's parameters as they came: in the address, or in a form, which stays readable for moto."""
    if environ["REQUEST_METHOD"] != "POST":
        return str(environ.get("QUERY_STRING", ""))
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    if hashlib.sha256(body).hexdigest() != environ.get("HTTP_X_AMZ_CONTENT_SHA256"):
        environ["HTTP_AUTHORIZATION"] = ""  # signed for another body
    return str(body.decode("utf-8", "replace"))


def _unavailable() -> Answer:
    return Answer(503, moto_mends.error_body("RequestLimitExceeded", "Request limit exceeded."))


def _sent(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body))), *answer.headers]
    told = _REQUEST_ID.search(answer.body)
    if told is not None:
        headers.append(("x-amzn-RequestId", told[1].decode()))  # as Amazon says it beside the document
    start_response(f"{answer.status} {_STATUS_WORDS.get(answer.status, 'Status')}", headers)
    return [answer.body]


def _faulty(rule: FaultRule, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    match rule.kind:
        case FaultKind.HANG:
            time.sleep(rule.delay_s or _HANG_S)
        case FaultKind.DROP:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        case FaultKind.HUGE:
            return _streamed(start_response, b" " * 65_536, count=_HUGE_BYTES // 65_536, pause_s=0.0)
        case FaultKind.DRIP:
            return _streamed(start_response, b" ", count=int(_HANG_S / _DRIP_PAUSE_S), pause_s=_DRIP_PAUSE_S)
    return _sent(_wrong(rule, environ), start_response)


def _wrong(rule: FaultRule, environ: Environ) -> Answer:
    match rule.kind:
        case FaultKind.DENIED:
            words = "You are not authorized to perform this operation."
            return Answer(403, moto_mends.error_body("UnauthorizedOperation", words))
        case FaultKind.TOO_OFTEN:
            return _too_often(_NAMESPACES.get(environ.get("HTTP_HOST", "").split(".")[0], ""))
        case FaultKind.GARBAGE:
            return Answer(200, b"\x00\xff<not {xml")
        case FaultKind.REDIRECT:
            return Answer(302, b"", headers=(("Location", rule.to),))
        case FaultKind.ECHO:
            told = "\r\n".join(f"{name}: {value}\x07" for name, value in environ.items() if name.startswith("HTTP_"))
            return Answer(400, told.encode())
    return _unavailable()


def _too_often(namespace: str) -> Answer:
    body = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>Throttling</Code>'
        "<Message>Rate exceeded</Message></Error><RequestId>busy</RequestId></ErrorResponse>"
    )
    return Answer(400, body.encode())


def _streamed(start_response: StartResponse, chunk: bytes, *, count: int, pause_s: float) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", _XML), ("Content-Length", str(len(chunk) * count))])
    for _ in range(count):
        yield chunk
        time.sleep(pause_s)


def _warming_environ(action: str, key: str, region: str) -> Environ:
    from werkzeug.test import EnvironBuilder  # noqa: PLC0415 - needed once, at start

    credential = f"{key}/20200101/{region}/ec2/aws4_request"
    builder = EnvironBuilder(
        base_url=f"https://ec2.{region}.amazonaws.com",
        query_string=f"Action={action}&Version=2016-11-15",
        headers=[("Authorization", f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0")],
    )
    return dict(builder.get_environ())


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="moto's EC2, as a cloud to reach through a tunnel.")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--cert", type=Path, help="the server certificate, PEM; without it plain HTTP is spoken")
    parser.add_argument("--key", type=Path, help="its private key, PEM")
    parser.add_argument("--region", action="append", help="a region to have ready; may be repeated")
    parser.add_argument("--accounts", type=Path, required=True, help="a JSON object of access key to secret")
    options = parser.parse_args()
    # A short list of our own: moto's 1,300 images take a second to load for each account.
    os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("images.json"))
    edge = MotoEdge(json.loads(options.accounts.read_text()))
    edge.warm_up(options.region or ["us-east-1"])
    tls = None
    if options.cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.key)
    server = TlsServer(split_address(options.listen), edge, tls)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(listening_line(server.server_address), flush=True)
    ended.wait()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
