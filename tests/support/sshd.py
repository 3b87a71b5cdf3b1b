"""A private OpenSSH server on loopback: own host key, own key file, locked down as a relay should be.

Debian's sshd, nothing simulated. Stopped by process id; every process it forked is ended with it.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh

from tests.support.waiting import wait_until

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
# A generous bound on anything here; the machine may be busy.
_PATIENCE_S = 20.0

_CONFIG = """\
{first}
ListenAddress {host}:{port}
HostKey {directory}/host_key
PidFile none
AuthorizedKeysFile {directory}/authorized_keys
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
AllowTcpForwarding local
PermitListen none
AllowStreamLocalForwarding no
AllowAgentForwarding no
PermitTunnel no
PermitTTY no
MaxSessions 0
MaxStartups 100
UseDNS no
LogLevel VERBOSE
{extra}
"""


class Sshd:
    """One sshd in ``directory``. ``start`` it, or use it as a context manager.

    ``authorized_key`` is the OpenSSH public key line (options allowed in front) that may log in as ``user``.
    ``host_key`` is the public key line to pin. ``config`` is appended to sshd_config;
    ``first`` stands before all of it, and sshd goes by the first value that it meets.
    """

    def __init__(
        self,
        directory: Path,
        authorized_key: str,
        *,
        host: str = "127.0.0.1",
        config: str = "",
        first: str = "",
        host_key_kind: str = "ssh-ed25519",
    ) -> None:
        self.directory = directory
        self.host = host
        self.port = 0
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self._config = config
        self._first = first
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        key = asyncssh.generate_private_key(host_key_kind)
        self.key = key
        self.host_key = key.export_public_key().decode().strip()
        self.show_key(key)
        (directory / "authorized_keys").write_text(authorized_key + "\n")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

    @property
    def log(self) -> str:
        """What sshd has said so far."""
        return (self.directory / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start listening, on the same port as before if it was started before. Returns itself."""
        if SSHD is None:
            raise RuntimeError("sshd is not installed: apt-get install openssh-server")
        if os.getuid() == 0:
            # Debian's unit file makes this directory; without it sshd refuses to run as root.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = self.port or free_port(self.host)
        config = self.directory / "sshd_config"
        config.write_text(
            _CONFIG.format(
                host=self.host, port=self.port, directory=self.directory, first=self._first, extra=self._config
            )
        )
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)
        wait_until(lambda: "Server listening on" in self.log or self._exited(), "sshd listens")
        if self._exited():
            raise RuntimeError(f"sshd did not start: {self.log}")
        return self

    def change_host_key(self) -> str:
        """Have another host key from now on, for new connections, and return its public line; those that stand stay."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        (self.directory / "host_key").write_bytes(key.export_private_key())
        starts = self.log.count("Server listening on")
        os.kill(self._pid, signal.SIGHUP)
        wait_until(lambda: self.log.count("Server listening on") > starts, "sshd listens again")
        self.host_key = key.export_public_key().decode().strip()
        return self.host_key

    def connections(self) -> int:
        """Return how many connections it serves now: each has a child process of the listener."""
        return len(_children(self._pid)) if not self._exited() else 0

    def wait_connections(self, count: int) -> None:
        """Wait until exactly ``count`` connections are served."""
        wait_until(lambda: self.connections() == count, f"{count} connections at sshd")

    def stop(self) -> None:
        """End it and everything it forked. May be repeated."""
        if self._process is None:
            return
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(_PATIENCE_S)
        self._process = None

    def show_key(self, key: asyncssh.SSHKey) -> None:
        """Show ``key`` as its host key from the next start on; ``host_key`` stays the line that was pinned."""
        key_file = self.directory / "host_key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(key.export_private_key())

    def freeze(self) -> None:
        """Stop every process of it without closing anything: to its peers it falls silent."""
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):  # one that was just ending
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let every process of it go on after ``freeze``."""
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):  # one that was just ending
                os.kill(pid, signal.SIGCONT)

    def _exited(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _family(self) -> list[int]:
        return family(self._pid)


def family(pid: int) -> list[int]:
    """Return the process and everything it forked, the eldest first."""
    found = [pid]
    for each in found:  # grows while it is walked: children of children follow
        found += _children(each)
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
