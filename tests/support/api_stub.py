"""A server that plays recorded HTTP situations, one per request, and remembers what it was asked.

For what a real gateway cannot be made to do on demand: hang up, stay silent, answer garbage.
"""

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One answer. A dict or list ``body`` becomes JSON; bytes go out as they are."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Hold the connection open without a word until the server stops."""


Situation = Played | HangUp | Silence


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: object


@dataclass(slots=True)
class Stage:
    """Where the server is, what it still plays and what it was asked."""

    server: str
    script: list[Situation]
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    stage: Stage


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    stage: Stage


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "client"  # a Unix socket's peer has no address

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""

    def do_GET(self) -> None:
        """Play the next situation, whatever the method."""
        stage = self.server.stage  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length", "0"))
        raw = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(method=self.command, path=self.path, headers=headers, body=json.loads(raw) if raw else None)
        stage.asked.append(asked)
        match stage.script.pop(0) if stage.script else Played(status=500):
            case HangUp():
                self.close_connection = True
            case Silence():
                stage.over.wait()
                self.close_connection = True
            case Played() as played:
                self._send(played)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names http.server looks for

    def _send(self, played: Played) -> None:
        raw = played.body if isinstance(played.body, bytes) else b""
        headers = dict(played.headers)
        if isinstance(played.body, dict | list):
            raw = json.dumps(played.body).encode()
            headers.setdefault("Content-Type", "application/json")
        self.send_response(played.status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


def problem(status: int, code: str, **more: object) -> Played:
    """Return a problem document as a gateway sends it."""
    document = {"type": f"urn:crossway:problem:{code}", "status": status, "code": code, "title": code, **more}
    return Played(status=status, headers={"Content-Type": "application/problem+json"}, body=document)


@contextmanager
def playing(*script: Situation, socket_path: Path | None = None) -> Iterator[Stage]:
    """Serve ``script`` on a loopback port, or on a Unix socket at ``socket_path``, while the context lasts."""
    server: _TcpServer | _UnixServer
    if socket_path is None:
        server = _TcpServer(("127.0.0.1", 0), _Handler)
        where = f"http://127.0.0.1:{server.server_address[1]}"
    else:
        server = _UnixServer(str(socket_path), _Handler)
        where = f"unix:{socket_path}"
    server.stage = Stage(where, list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.stage
    finally:
        server.stage.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def page(items: Sequence[object], next_token: str | None = None) -> Played:
    """Return one page of a list."""
    return Played(body={"items": list(items), "next_page_token": next_token})
