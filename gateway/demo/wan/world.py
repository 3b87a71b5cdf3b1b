"""The WAN of network namespaces: real packets, so ICMP, TCP and losses behave as on a wire.

A host is a namespace with one stable address; a link is a TAP device at either end, joined by the engine.
Hosts reach only hosts they share a link with: no host passes on what is not for it.
"""

import contextlib
import dataclasses
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from catalog.ports import Address
from gateway.demo.wan.channel import Helper
from gateway.demo.wan.engine import LinkStats
from gateway.demo.wan.link import LinkChanges, LinkSettings, WanError
from gateway.demo.wan.namespaces import Namespaces
from gateway.demo.wan.ports import Stream
from gateway.demo.wan.programs import Programs

_HOST_LIMIT = 254  # 10.77.1.1 to 10.77.254.1
_HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_DEVICE_NAME_LIMIT = 15  # the kernel's
_DEVICE_QUEUE_PACKETS = 4000  # a burst must wait in the device rather than be lost beside the engine's count


class World:
    """A WAN of namespaces (``ports.Wan``, with more). Not thread-safe while it is being built."""

    one_address_per_host = True

    def __init__(self, *, seed: int = 1, user_namespace: bool | None = None) -> None:
        """Prepare; nothing is made before ``start``. The same ``seed`` and traffic lose the same packets."""
        self._seed = seed
        self._user_namespace = user_namespace
        self._addresses: dict[str, str] = {}
        self._links: dict[tuple[str, str], LinkSettings] = {}  # both directions of each
        self._programs = Programs()
        self._resources = contextlib.ExitStack()
        self._namespaces: Namespaces | None = None
        self._engine: Helper | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start keeper and engine. Raises WanError when this system allows no namespaces."""
        if self._namespaces is not None:
            raise WanError("this world was already started")
        self._namespaces = Namespaces(user_namespace=self._user_namespace)
        self._resources.callback(self._namespaces.close)
        self._engine = Helper("gateway.demo.wan.engine")
        self._resources.callback(self._engine.close)
        self._resources.callback(self._programs.end)

    def close(self) -> None:
        """End its programs, then the engine, then whatever is left in the namespaces. May be called again."""
        self._resources.close()
        self._engine = None

    def add_host(self, name: str) -> str:
        """Make a host and return its address. Raises WanError for a bad or taken name."""
        if not _HOST_NAME.fullmatch(name):
            raise WanError(f"a host is named with a-z, 0-9 and '-', at most 40 of them, not {name!r}")
        if name in self._addresses:
            raise WanError(f"there already is a host {name}")
        if len(self._addresses) == _HOST_LIMIT:
            raise WanError(f"a world has at most {_HOST_LIMIT} hosts")
        address = f"10.77.{len(self._addresses) + 1}.1"
        self._inside().add_host(name, address)
        self._addresses[name] = address
        return address

    def add_link(self, a: str, b: str, *, back: LinkChanges | None = None, **settings: Unpack[LinkChanges]) -> None:
        """Join two hosts; ``back`` overrides ``settings`` for b to a. Raises WanError."""
        for host in (a, b):
            self.ip(host)
        if a == b or (a, b) in self._links:
            raise WanError(f"{a} and {b} cannot be linked (again)")
        there = LinkSettings().changed(**settings)
        again = there.changed(**(back or {}))
        with contextlib.ExitStack() as ours:
            taps = []
            for host, far in sorted(((a, b), (b, a))):
                device = self._device_to(far)
                taps.append(self._inside().open_tap(host, device))
                ours.callback(os.close, taps[-1])  # the engine gets copies
                self._inside().configure(host, self._set_up(host, far, device))
            self._ask_engine("link", a, b, taps, settings=_ordered(a, b, there, again), seed=self._seed)
        self._links[a, b], self._links[b, a] = there, again

    def set_link(self, a: str, b: str, *, oneway: bool = False, **changes: Unpack[LinkChanges]) -> None:
        """Change a link while traffic flows, frames already in flight excepted. Raises WanError."""
        there, again = self.link(a, b), self.link(b, a)
        there = there.changed(**changes)
        if not oneway:
            again = again.changed(**changes)
        self._ask_engine("set", a, b, settings=_ordered(a, b, there, again))
        self._links[a, b], self._links[b, a] = there, again

    def cut(self, a: str, b: str) -> None:
        """Swallow everything on the link, frames in flight included, without a word to either end."""
        self.set_link(a, b, up=False)

    def heal(self, a: str, b: str) -> None:
        """Undo ``cut``."""
        self.set_link(a, b, up=True)

    def cut_host(self, name: str) -> None:
        """Cut every link of a host, as if its machine had lost power."""
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

    def stats(self, a: str, b: str) -> LinkStats:
        """Return the exact counts of what became of the frames from a to b."""
        self.link(a, b)
        counts = self._ask_engine("stats", a, b)
        return LinkStats(**counts[0 if a < b else 1])

    def ip(self, host: str) -> str:
        """Return the address of ``host``, the same for everybody. Raises WanError when there is no such host."""
        if host not in self._addresses:
            raise WanError(f"there is no host {host}")
        return self._addresses[host]

    def address_from(self, source: str, destination: str, port: int) -> Address:
        """Return what ``source`` dials for ``port`` of ``destination``. Raises WanError without a link."""
        if source != destination:
            self.link(source, destination)
        return Address(host=self.ip(destination), port=port)

    def free_port(self, wanted: int) -> int:
        """Return ``wanted``: every host has all ports to itself, low ones included."""
        return wanted

    def command(self, host: str, argv: Sequence[str], *, capabilities: Sequence[str] = ()) -> list[str]:
        """Return the command that runs ``argv`` in ``host``, for callers with a process library of their own."""
        self.ip(host)
        return self._inside().argv(host, argv, capabilities)

    def popen(
        self,
        host: str,
        argv: Sequence[str],
        *,
        capabilities: Sequence[str] = (),
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program in ``host``; it is ended with the world. A missing program ends with status 127."""
        command = self.command(host, argv, capabilities=capabilities)
        return self._programs.start(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, pass_fds=pass_fds
        )

    def run(
        self, host: str, argv: Sequence[str], *, capabilities: Sequence[str] = (), timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in ``host`` to its end and return its status and output. Raises TimeoutExpired."""
        command = self.command(host, argv, capabilities=capabilities)
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)

    @contextlib.contextmanager
    def enter(self, host: str) -> Iterator[None]:
        """Put the calling thread in ``host`` for the block: sockets made there stay there. Root only."""
        self.ip(host)
        with self._inside().enter(host):
            yield

    def _set_up(self, host: str, far: str, device: str) -> list[str]:
        there = self._addresses[far]
        return [
            f"link set {device} address {self._mac(host)} txqueuelen {_DEVICE_QUEUE_PACKETS} up",
            f"route add {there}/32 dev {device} src {self._addresses[host]}",
            # Neighbours are fixed: ARP over a lossy link would blur every count.
            f"neighbour add {there} lladdr {self._mac(far)} dev {device} nud permanent",
        ]

    def _mac(self, host: str) -> str:
        return f"02:77:00:00:00:{self._number(host):02x}"  # 02: locally administered

    def _device_to(self, far: str) -> str:
        name = f"to-{far}"
        return name if len(name) <= _DEVICE_NAME_LIMIT else f"to{self._number(far)}"

    def _number(self, host: str) -> int:
        return int(self._addresses[host].split(".")[2])

    def _peers(self, host: str) -> list[str]:
        self.ip(host)
        return [b for a, b in self._links if a == host]

    def _ask_engine(
        self, op: str, a: str, b: str, descriptors: Sequence[int] = (), **fields: object
    ) -> list[dict[str, int]]:
        if self._engine is None:
            raise WanError("this world is not running")
        # The engine's first direction leads from the name that sorts first.
        reply: list[dict[str, int]] = self._engine.ask(op, descriptors, link=" ".join(sorted((a, b))), **fields)
        return reply

    def _inside(self) -> Namespaces:
        if self._namespaces is None or self._engine is None:
            raise WanError("this world is not running")
        return self._namespaces


def _ordered(a: str, b: str, there: LinkSettings, again: LinkSettings) -> list[dict[str, object]]:
    """Return the settings of both directions as the engine wants them: from the name that sorts first, first."""
    pair = (there, again) if a < b else (again, there)
    return [dataclasses.asdict(settings) for settings in pair]
