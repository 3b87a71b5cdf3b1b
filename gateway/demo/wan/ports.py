"""What the demo needs from a WAN, whether it is made of namespaces or of proxies."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self, Unpack

from catalog.ports import Address
from gateway.demo.wan.link import LinkChanges

Stream = int | IO[bytes] | None


class Wan(Protocol):
    """Hosts, and links between them that can be changed while traffic flows.

    Every method raises WanError for an unknown host, a missing link or an impossible value. Settings hold
    one way; a link has two directions, equal unless told otherwise.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    @property
    def one_address_per_host(self) -> bool:
        """Whether a host has the same address for everybody and all its ports (namespaces), or not (proxies)."""
        ...

    def start(self) -> None:
        """Make it ready for hosts. Once."""
        ...

    def close(self) -> None:
        """End every program started in it, then itself. May be called again."""
        ...

    def add_host(self, name: str) -> str:
        """Add a host and return the address its programs bind."""
        ...

    def add_link(self, a: str, b: str, *, back: LinkChanges | None = None, **settings: Unpack[LinkChanges]) -> None:
        """Join two hosts; ``back`` overrides ``settings`` for b to a."""
        ...

    def set_link(self, a: str, b: str, *, oneway: bool = False, **changes: Unpack[LinkChanges]) -> None:
        """Change a link in both directions, or with ``oneway`` from a to b only."""
        ...

    def cut(self, a: str, b: str) -> None:
        """Let the link die in silence."""
        ...

    def heal(self, a: str, b: str) -> None:
        """Undo a cut."""
        ...

    def cut_host(self, name: str) -> None:
        """Cut every link of a host."""
        ...

    def heal_host(self, name: str) -> None:
        """Undo the cuts of every link of a host."""
        ...

    def ip(self, host: str) -> str:
        """Return the address that programs in ``host`` bind."""
        ...

    def address_from(self, source: str, destination: str, port: int) -> Address:
        """Return what a program in ``source`` dials to reach ``port`` of ``destination`` over their link."""
        ...

    def free_port(self, wanted: int) -> int:
        """Return a port for a new listener on a host: ``wanted``, unless all hosts share one address."""
        ...

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
        """Start a program in ``host``, in a session of its own; it is ended with the WAN.

        ``capabilities`` such as "net_raw" are kept for it where it would have none (``namespaces.argv``).
        """
        ...

    def run(self, host: str, argv: Sequence[str], *, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program in ``host`` to its end, output captured. Raises subprocess.TimeoutExpired."""
        ...
