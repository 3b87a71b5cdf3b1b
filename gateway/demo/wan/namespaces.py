"""Hosts as network namespaces: the owner's side of the keeper, and whether this system allows it at all.

As root the namespaces are plain ones. As any other user they belong to a user namespace in which the user
keeps its own uid, so that an unprivileged sshd runs in a host as itself; that needs a system which allows
user namespaces and a /dev/net/tun which the user may open.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence

from gateway.demo.wan import kernel
from gateway.demo.wan.channel import Helper, python_argv
from gateway.demo.wan.link import WanError

# A plain user's PATH lacks these on Debian, though the programs in them may be run by anybody.
_SYSTEM_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin"


def find_program(name: str, *, package: str) -> str:
    """Return the path of a system program. Raises WanError that names the Debian ``package`` it comes in."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_DIRECTORIES}")
    if path is None:
        raise WanError(f"{name} is not installed; on Debian: apt-get install {package}")
    return path


class Namespaces:
    """The network namespaces of one WAN. Every method raises WanError with the system's reason."""

    def __init__(self, *, user_namespace: bool | None = None) -> None:
        """Start the keeper; ``user_namespace`` None means: for everybody but root."""
        self._hosts: dict[str, int] = {}
        self._keeper = Helper("gateway.demo.wan.keeper", find_program("ip", package="iproute2"))
        self._user_fd: int | None = None
        try:
            if user_namespace or (user_namespace is None and os.geteuid() != 0):
                self._user_fd = int(self._keeper.ask("enter user namespace"))
        except BaseException:
            self.close()
            raise

    @property
    def in_user_namespace(self) -> bool:
        """Whether the hosts belong to a user namespace, so that only a process of its own can enter them."""
        return self._user_fd is not None

    def add_host(self, host: str, address: str) -> None:
        """Make a namespace whose loopback carries ``address``, without IPv6, transit or ICMP rate limits."""
        self._hosts[host] = int(self._keeper.ask("host", host=host, address=address))

    def open_tap(self, host: str, device: str) -> int:
        """Make a TAP device in ``host``; it lives as long as the returned descriptor, the caller's to close."""
        return self._keeper.ask_descriptors("tap", host=host, device=device)[0]

    def configure(self, host: str, commands: Sequence[str]) -> None:
        """Run ``commands`` of ip(8), without the leading "ip", in ``host``."""
        self._keeper.ask("configure", host=host, commands=list(commands))

    def argv(self, host: str, argv: Sequence[str], capabilities: Sequence[str] = ()) -> list[str]:
        """Return the command that runs ``argv`` in ``host``, its process the program itself.

        In a user namespace the program runs as the same user and holds only ``capabilities`` (keys of
        ``kernel.CAPABILITIES``); root keeps all it has.
        """
        unknown = sorted(set(capabilities) - set(kernel.CAPABILITIES))
        if unknown:
            known = ", ".join(kernel.CAPABILITIES)
            raise WanError(f"unknown capability {', '.join(unknown)}; there are {known}")
        if not argv:
            raise WanError("no program given")
        user_path = "-" if self._user_fd is None else self._path(self._user_fd)
        network_path = self._path(self._hosts[host])
        launcher = python_argv("gateway.demo.wan.enter", user_path, network_path, ",".join(capabilities))
        return [*launcher, *argv]

    @contextlib.contextmanager
    def enter(self, host: str) -> Iterator[None]:
        """Put the calling thread in ``host`` for the block: sockets made there stay there. Root only."""
        if self.in_user_namespace:
            raise WanError("a thread cannot enter a user namespace; run a program in the host instead")
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(self._path(self._hosts[host]), os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.setns(there, kernel.CLONE_NEWNET)
            try:
                yield
            finally:
                kernel.setns(here, kernel.CLONE_NEWNET)
        finally:
            os.close(there)
            os.close(here)

    def close(self) -> None:
        """Kill what still runs in the hosts and let the namespaces go. May be called again."""
        self._keeper.close()

    def _path(self, keeper_fd: int) -> str:
        return f"/proc/{self._keeper.pid}/fd/{keeper_fd}"


def namespaces_available(*, user_namespace: bool | None = None) -> tuple[bool, str]:
    """Return whether hosts can be namespaces here, found out by making one, and the reason in words."""
    try:
        namespaces = Namespaces(user_namespace=user_namespace)
    except WanError as error:
        return False, str(error)
    try:
        namespaces.add_host("trial", "10.77.1.1")
        os.close(namespaces.open_tap("trial", "trial"))
        kind = "user and network namespaces" if namespaces.in_user_namespace else "network namespaces, as root"
    except WanError as error:
        return False, str(error)
    finally:
        namespaces.close()
    return True, kind
