"""The WAN of delaying TCP proxies on loopback, for systems that allow no namespaces.

All hosts share 127.0.0.1; each (source, destination, port) has a proxy port of its own. TCP only, and
connect() to a proxy succeeds at once whatever the delay: measure the SSH banner, which comes after 2 RTT.
"""

import contextlib
import dataclasses
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from catalog.ports import Address
from gateway.demo.wan.channel import Helper
from gateway.demo.wan.link import LinkChanges, LinkSettings, WanError
from gateway.demo.wan.ports import Stream
from gateway.demo.wan.programs import Programs

_LOOPBACK = "127.0.0.1"


class DelayProxies:
    """A WAN of proxies (``ports.Wan``)."""

    one_address_per_host = False

    def __init__(self, *, seed: int = 1) -> None:
        """Prepare; nothing is made before ``start``. ``seed`` steers jitter and losses."""
        self._seed = seed
        self._hosts: set[str] = set()
        self._links: dict[tuple[str, str], LinkSettings] = {}  # both directions of each
        self._proxies: dict[tuple[str, str, int], int] = {}
        self._programs = Programs()
        self._resources = contextlib.ExitStack()
        self._helper: Helper | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the proxy process. Once."""
        if self._helper is not None:
            raise WanError("these proxies were already started")
        self._helper = Helper("gateway.demo.wan.proxy_process")
        self._resources.callback(self._helper.close)
        self._resources.callback(self._programs.end)

    def close(self) -> None:
        """End its programs, then the proxies. May be called again."""
        self._resources.close()

    def add_host(self, name: str) -> str:
        """Note a host and return the one address there is. Raises WanError when the name is taken."""
        if name in self._hosts:
            raise WanError(f"there already is a host {name}")
        self._hosts.add(name)
        return _LOOPBACK

    def add_link(self, a: str, b: str, *, back: LinkChanges | None = None, **settings: Unpack[LinkChanges]) -> None:
        """Join two hosts; ``back`` overrides ``settings`` for b to a. Raises WanError."""
        for host in (a, b):
            self.ip(host)
        if a == b or (a, b) in self._links:
            raise WanError(f"{a} and {b} cannot be linked (again)")
        there = LinkSettings().changed(**settings)
        for source, destination, each in ((a, b, there), (b, a, there.changed(**(back or {})))):
            self._ask("link", source, destination, settings=dataclasses.asdict(each), seed=self._seed)
            self._links[source, destination] = each

    def set_link(self, a: str, b: str, *, oneway: bool = False, **changes: Unpack[LinkChanges]) -> None:
        """Change a link while traffic flows; connections under way included. Raises WanError."""
        for source, destination in ((a, b),) if oneway else ((a, b), (b, a)):
            settings = self.link(source, destination).changed(**changes)
            self._ask("set", source, destination, settings=dataclasses.asdict(settings))
            self._links[source, destination] = settings

    def cut(self, a: str, b: str) -> None:
        """Hold back everything on the link, connects included, until it heals."""
        self.set_link(a, b, up=False)

    def heal(self, a: str, b: str) -> None:
        """Undo ``cut``; what was held goes on its way."""
        self.set_link(a, b, up=True)

    def cut_host(self, name: str) -> None:
        """Cut every link of a host."""
        for peer in self._peers(name):
            self.cut(name, peer)

    def heal_host(self, name: str) -> None:
        """Undo the cuts of every link of a host."""
        for peer in self._peers(name):
            self.heal(name, peer)

    def link(self, a: str, b: str) -> LinkSettings:
        """Return the settings in force from a to b. Raises WanError when they share no link."""
        for host in (a, b):
            self.ip(host)
        if (a, b) not in self._links:
            raise WanError(f"there is no link between {a} and {b}")
        return self._links[a, b]

    def ip(self, host: str) -> str:
        """Return 127.0.0.1 for every host there is; raises WanError for any other."""
        if host not in self._hosts:
            raise WanError(f"there is no host {host}")
        return _LOOPBACK

    def address_from(self, source: str, destination: str, port: int) -> Address:
        """Return the proxy that ``source`` dials for ``port`` of ``destination``, made at the first call."""
        if source == destination:
            return Address(host=self.ip(source), port=port)
        self.link(source, destination)
        way = (source, destination, port)
        if way not in self._proxies:
            self._proxies[way] = self._ask("listen", source, destination, port=port)
        return Address(host=_LOOPBACK, port=self._proxies[way])

    def free_port(self, wanted: int) -> int:  # noqa: ARG002 - the port
        """Return a port free on loopback just now; ``wanted`` cannot be had by every host at once."""
        with socket.create_server((_LOOPBACK, 0)) as probe:
            port: int = probe.getsockname()[1]
            return port

    def popen(
        self,
        host: str,
        argv: Sequence[str],
        *,
        capabilities: Sequence[str] = (),  # noqa: ARG002 - a plain user has none to give
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program; it is ended with the proxies. Raises WanError when it cannot be started."""
        self.ip(host)
        if not argv:
            raise WanError("no program given")
        try:
            process = self._programs.start(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, pass_fds=pass_fds
            )
        except OSError as error:
            raise WanError(f"{argv[0]} cannot be started: {error.strerror}") from error
        with contextlib.suppress(WanError):  # it has ended already
            self._ask("mind", host, host, pid=process.pid)
        return process

    def run(self, host: str, argv: Sequence[str], *, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return its status and output. Raises subprocess.TimeoutExpired."""
        self.ip(host)
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)

    def _peers(self, host: str) -> list[str]:
        self.ip(host)
        return [b for a, b in self._links if a == host]

    def _ask(self, op: str, source: str, destination: str, **fields: object) -> int:
        if self._helper is None:
            raise WanError("these proxies are not running")
        value: int = self._helper.ask(op, (), source=source, destination=destination, **fields)
        return value
