"""OpenSSH's own client as the rival of benchmarks: ``ssh -J`` over relays, with a forwarded port at its end."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from routing.topology import Address
from tests.support.sshd import family, free_port

_PATIENCE_S = 60.0
_SSH_PORT = 22

_HOST = """\
Host {name}
 HostName {host}
 Port {port}
 User {user}
"""
_ALL = """\
Host *
 IdentityFile {key}
 IdentitiesOnly yes
 UserKnownHostsFile {known_hosts}
 StrictHostKeyChecking yes
 Ciphers aes128-gcm@openssh.com
 LogLevel ERROR
 ExitOnForwardFailure yes
"""


@dataclass(frozen=True, slots=True)
class Relay:
    """An sshd to go through: where it listens, whom it lets in, its public host key line."""

    address: tuple[str, int]
    user: str
    host_key: str

    @property
    def known(self) -> str:
        """Its line of known_hosts."""
        host, port = self.address
        return f"{host if port == _SSH_PORT else f'[{host}]:{port}'} {self.host_key}\n"


class SshJump:
    """A running ``ssh -J``; ``address`` is its forwarded port."""

    def __init__(self, process: subprocess.Popen[bytes], address: Address) -> None:
        self.address = address
        self._process = process

    def cpu_s(self) -> float:
        """Return the CPU seconds that its processes (one for each relay) have used."""
        return sum(_cpu_s(pid) for pid in family(self._process.pid))

    def stop(self) -> None:
        """End its processes."""
        for pid in family(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(_PATIENCE_S)


@contextlib.contextmanager
def ssh_jump(relays: Sequence[Relay], to: Address, key_file: Path, directory: Path, *options: str) -> Iterator[SshJump]:
    """Run ``ssh -J`` over ``relays`` with a port forwarded to ``to``; returns once that port connects."""
    known_hosts = directory / "known_hosts"
    known_hosts.write_text("".join(relay.known for relay in relays))
    names = [f"relay{place}" for place in range(len(relays))]
    config = directory / "ssh_config"
    text = _ALL.format(key=key_file, known_hosts=known_hosts)
    for name, relay in zip(names, relays, strict=True):
        text += _HOST.format(name=name, host=relay.address[0], port=relay.address[1], user=relay.user)
    config.write_text(text)
    port = free_port()
    jump = ["-J", ",".join(names[:-1])] if len(names) > 1 else []
    forward = f"127.0.0.1:{port}:{to.host}:{to.port}"
    command = ["ssh", "-F", str(config), *options, *jump, "-N", "-L", forward, names[-1]]
    running = SshJump(subprocess.Popen(command, stderr=subprocess.DEVNULL), Address("127.0.0.1", port))
    try:
        _wait_connects(running.address)
        yield running
    finally:
        running.stop()


def _wait_connects(address: Address) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection((address.host, address.port), 5).close()
        except OSError:
            assert time.monotonic() < deadline_s, "ssh never listened"
            time.sleep(0.05)
        else:
            return


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
