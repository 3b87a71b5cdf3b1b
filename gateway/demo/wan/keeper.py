"""The keeper: one process that makes network namespaces, holds them open, and empties them at the end.

A host of the WAN is a network namespace without a name: it exists as long as this process holds a
descriptor of it or a program runs in it. When the owner's end of the control channel closes, the keeper
kills what still runs in its namespaces and ends, so nothing is left, whatever happened to the owner.
Standard library only, and one thread: only such a process may enter a user namespace.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.demo.wan import kernel
from gateway.demo.wan.channel import answer
from gateway.demo.wan.link import WanError

_CONFIGURE_TIMEOUT_S = 10.0
_SWEEPS = 200
_SWEEP_PAUSE_S = 0.01


class Keeper:
    """Holds the namespaces and does what must be done inside them."""

    def __init__(self, ip_command: str) -> None:
        self._ip_command = ip_command
        self._hosts: dict[str, int] = {}

    def handle(self, request: Mapping[str, Any], _: Sequence[int]) -> tuple[Any, Sequence[int]]:
        """Carry out one request of the owner. Raises OSError or WanError, which go back as its answer."""
        match request["op"]:
            case "enter user namespace":
                return _enter_user_namespace(), ()
            case "host":
                return self._make_host(request["host"], request["address"]), ()
            case "tap":
                return None, [self._make_tap(request["host"], request["device"])]
            case _:  # "configure"
                kernel.setns(self._hosts[request["host"]], kernel.CLONE_NEWNET)
                self._configure(request["commands"])
                return None, ()

    def sweep(self, spared: Iterable[int]) -> None:
        """Kill what runs in the namespaces, again until nothing does: a dying program may have forked."""
        namespaces = {os.fstat(fd).st_ino for fd in self._hosts.values()}
        spare = {os.getpid(), *spared}
        for _ in range(_SWEEPS):
            inside = [pid for pid in _process_ids() if pid not in spare and _namespace_of(pid) in namespaces]
            if not inside:
                return
            for pid in inside:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_SWEEP_PAUSE_S)

    def _make_host(self, host: str, address: str) -> int:
        try:
            kernel.unshare(kernel.CLONE_NEWNET)
        except OSError as error:
            raise WanError(f"the system refuses a network namespace ({error.strerror})") from error
        self._hosts[host] = fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        gid = os.getegid()
        for name, value in {
            "ipv4/ip_forward": "0",  # inherited from the machine otherwise; a site is no transit
            "ipv4/conf/all/rp_filter": "0",
            "ipv4/conf/default/rp_filter": "0",
            "ipv4/icmp_ratelimit": "0",  # a probed relay must not look lossy because of it
            "ipv4/ip_unprivileged_port_start": "0",
            "ipv4/ping_group_range": f"{gid} {gid}",
            "ipv6/conf/all/disable_ipv6": "1",
            "ipv6/conf/default/disable_ipv6": "1",
        }.items():
            with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6, say
                Path("/proc/sys/net", name).write_text(value, encoding="ascii")
        self._configure(["link set lo up", f"address add {address}/32 dev lo"])
        return fd

    def _make_tap(self, host: str, device: str) -> int:
        kernel.setns(self._hosts[host], kernel.CLONE_NEWNET)
        try:
            return kernel.open_tap(device)
        except OSError as error:
            raise WanError(f"{kernel.TUN_DEVICE} cannot be used by this user ({error.strerror})") from error

    def _configure(self, commands: Sequence[str]) -> None:
        done = subprocess.run(
            [self._ip_command, "-batch", "-"],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=_CONFIGURE_TIMEOUT_S,
        )
        if done.returncode:
            raise WanError(f"{shlex.quote(self._ip_command)} -batch said: {done.stderr.strip()}")


def _enter_user_namespace() -> int:
    try:
        kernel.unshare_user()
    except OSError as error:
        raise WanError(f"the system refuses this user a user namespace ({error.strerror})") from error
    kernel.raise_ambient([kernel.CAPABILITIES["net_admin"]])  # for the ip command, run as the same plain user
    return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def _process_ids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _namespace_of(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:  # it ended, or it is somebody else's, hence not in a namespace of ours
        return None


def main() -> None:
    """Run as a helper: the arguments are the descriptor of the control channel and the path of ``ip``."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner = os.getppid()
    keeper = Keeper(sys.argv[2])
    try:
        while answer(control, keeper.handle):
            pass
    finally:
        # The owner itself may be inside, when it closes the WAN from a block of World.enter.
        keeper.sweep(spared=[owner])
