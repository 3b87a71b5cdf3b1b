"""Serve an emulated provider over TLS under its real name, and make drivers that reach it."""

import json
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from catalog.clouds import CloudAccount
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint, Dialer
from catalog.secrets import Secret
from drivers.clouds.libcloud_facts import ACCEPTED
from drivers.clouds.policy import CallPolicy
from drivers.registry import build
from tests.support.authority import Authority
from tests.support.dialers import LoopbackDialer

ACCOUNT = "primary-account"
TOKEN = "canary-token-0123456789"
_ANY_HOST = "api.given.example"  # where a provider has no one host of its own


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer; a ``body`` of None is an empty one. One that is ``lost`` never leaves the server."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False


class Emulator(ABC):
    """One provider's API and its state. Requests are answered one at a time."""

    provider: ClassVar[str]
    region: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}
    page_limit: ClassVar[int] = 3  # rows of a page, however many are asked for: every list has several pages

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.machines: dict[str, dict[str, Any]] = {}
        self.machines_limit = 100
        self.may_create = True  # whether the account has the right to make machines
        self.meanwhile: Callable[[Asked], None] | None = None  # what somebody else does after each answer
        self.loses: Callable[[Asked], bool] | None = None  # the next such request is carried out, and not answered
        self._next: list[Answer] = []
        self._lock = threading.Lock()

    def answers_next(self, *answers: Answer) -> None:
        """Give ``answers`` to the next requests, whatever they are. A ``lost`` one is carried out, and not answered."""
        self._next = list(answers)

    def answer(self, asked: Asked) -> Answer:
        """Return the answer to ``asked``, and do what it asks for."""
        with self._lock:
            self.asked.append(asked)
            forced = self._next.pop(0) if self._next else None
            if forced is not None and not forced.lost:
                return forced
            if not self.knows(asked):
                return self.refusal(401, "the token is not known")
            answer = self.served(asked)
            if self.meanwhile is not None:
                self.meanwhile(asked)
            if self.loses is not None and self.loses(asked):
                self.loses = None
                return Answer(status=0, lost=True)
            return answer if forced is None else forced

    @property
    def present(self) -> list[str]:
        """Return the ids of the machines that exist."""
        return list(self.machines)

    def knows(self, asked: Asked) -> bool:
        """Return whether the request proves who sends it."""
        return asked.headers.get("Authorization") == f"Bearer {TOKEN}"

    def is_creation(self, asked: Asked) -> bool:
        """Return whether a machine is asked for."""
        return asked.method == "POST" and asked.path.endswith(("/droplets", "/instances"))

    def ordered(self, asked: Asked) -> tuple[str, Any]:
        """Return the place and the key of a creation."""
        (key,) = asked.body.get("ssh_keys") or asked.body.get("sshkey_id") or asked.body["authorized_keys"]
        return asked.body["region"], key

    def bear(self, cloud_id: str, words: Sequence[str]) -> None:
        """Let a machine bear ``words`` and no others."""
        self.machines[cloud_id]["tags"] = list(words)

    @property
    def creations(self) -> list[Asked]:
        """Return the requests for a machine, carried out or not."""
        return [asked for asked in self.asked if self.is_creation(asked)]

    @abstractmethod
    def served(self, asked: Asked) -> Answer:
        """Return the answer to a request whose sender is known."""

    @abstractmethod
    def refusal(self, status: int, words: str) -> Answer:
        """Return an answer that says no, in the provider's own shape."""

    @abstractmethod
    def exhausted(self) -> Answer:
        """Return what the provider says when the account may have no more machines."""

    def cut(self, rows: Sequence[Any], asked: Asked, *, size_of_page: str) -> tuple[list[Any], int, int]:
        """Return the rows of the page that is asked for, its number and how many there are."""
        each = min(int(asked.query.get(size_of_page, self.page_limit)), self.page_limit)
        number, pages = int(asked.query.get("page", 1)), max(1, -(-len(rows) // each))
        return list(rows[(number - 1) * each : number * each]), number, pages


def host_of(provider: str) -> str:
    """Return under which name the provider is served: its one host, or one that stands for any."""
    known = ACCEPTED.get(provider)
    return known.host if known is not None and known.host else _ANY_HOST


@dataclass(kw_only=True)
class EmulatedCloud:
    """A served emulator, and what is needed to log in."""

    emulator: Emulator
    address: Address
    ca_pem: str

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.emulator.provider

    def account(self, **changes: Any) -> CloudAccount:
        """Return the account that the provider knows, with ``changes``."""
        url = f"https://{host_of(self.provider)}"
        facts: dict[str, Any] = {
            "platform": PlatformId("platform_test"), "provider": self.provider, "region": self.emulator.region,
            "endpoint": ApprovedEndpoint(url=url, dial=self.address, ca_pem=self.ca_pem), "account": ACCOUNT,
            "secret": Secret(TOKEN), "options": self.emulator.options,
        }  # fmt: skip
        return CloudAccount(**{**facts, **changes})

    def _policy(self) -> CallPolicy:
        return CallPolicy(deadline_s=20, page_count=self.emulator.page_limit)

    def driver(self, dialer: Dialer | None = None, *, policy: CallPolicy | None = None, **changes: Any) -> Any:
        """Return a driver of this cloud's account."""
        return build(self.account(**changes), dialer or LoopbackDialer(), policy or self._policy())


@contextmanager
def served(emulator: Emulator, folder: Path) -> Iterator[EmulatedCloud]:
    """Serve ``emulator`` under its provider's real name until the block ends."""
    authority = Authority(folder)
    context = authority.issue(host_of(emulator.provider)).context()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(emulator, context)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            at = Address(host="127.0.0.1", port=server.server_port)
            yield EmulatedCloud(emulator=emulator, address=at, ca_pem=authority.pem)
        finally:
            server.shutdown()
            thread.join(20)


def _handler(emulator: Emulator, context: ssl.SSLContext) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def setup(self) -> None:
            # In the connection's own thread: one that is slow to shake hands must not hold up the others.
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = emulator.answer(
                Asked(
                    method=self.command,
                    path=parts.path,
                    query=dict(parse_qsl(parts.query)),
                    headers=self.headers,
                    body=json.loads(body) if body else None,
                )
            )
            if answer.lost:
                self.close_connection = True
                return
            told = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815 - the names that the base class calls

        def log_message(self, *_: object) -> None:  # quiet
            pass

    return Handler
