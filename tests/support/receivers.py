"""Receivers of webhooks: one in memory for what decides, one on loopback that verifies as the specification says."""

import asyncio
import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from catalog.errors import ReceiverUnreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One attempt as a receiver got it."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """Return the body."""
        return json.loads(self.body)


@dataclass(slots=True)
class MemorySender:
    """A WebhookSender that keeps what is sent; ``answer`` gives a status or None for silence, by URL."""

    answer: Callable[[str], int | None] = lambda _url: 204
    hold: dict[str, asyncio.Event] = field(default_factory=dict)  # URLs whose answers wait for the event
    sent: list[Sent] = field(default_factory=list)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keep it and answer."""
        if url in self.hold:
            await self.hold[url].wait()
        self.sent.append(Sent(url=url, headers=dict(headers), body=body))
        status = self.answer(url)
        if status is None:
            raise ReceiverUnreachable("it cannot be connected")
        return status


def is_genuine(sent: Sent, secret: str) -> bool:
    """Verify as a receiver does, by the words of the specification and with nothing of ours."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{sent.headers['webhook-id']}.{sent.headers['webhook-timestamp']}.".encode() + sent.body
    expected = "v1," + base64.b64encode(hmac.new(key, content, "sha256").digest()).decode()
    return any(hmac.compare_digest(expected, each) for each in sent.headers["webhook-signature"].split(" "))


@dataclass(slots=True)
class Receiver:
    """An HTTP server on loopback that keeps what it is sent."""

    url: str
    sent: list[Sent] = field(default_factory=list)
    status: int = 204
    location: str = ""
    got: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, wanted: Callable[[Sent], bool], timeout_s: float = 30.0) -> Sent:
        """Return the first thing sent that is wanted, waiting for it."""
        with self.got:
            assert self.got.wait_for(lambda: any(map(wanted, self.sent)), timeout_s), "it was not sent"
            return next(filter(wanted, self.sent))


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver while the context lasts."""
    made = Receiver(url="")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with made.got:
                made.sent.append(Sent(url=self.path, headers=headers, body=body))
                made.got.notify_all()
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
