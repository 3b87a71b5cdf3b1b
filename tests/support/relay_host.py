"""A whole host for one test: OpenSSH's sshd with accounts of its own, in a private mount namespace.

/etc, /usr/local and /var/lib are overlays there, so that accounts and files made at the "host" are gone with it and the
machine that runs the test never sees them. Needs root.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tests.support.sshd import SSHD, family, free_port
from tests.support.waiting import wait_until

_PATIENCE_S = 30.0
_OVERLAID = ("/etc", "/usr/local", "/var/lib")
_CONFIG = """\
{extra}
ListenAddress 127.0.0.1:{port}
HostKey {host_key}
PidFile {folder}/pid
Include /etc/ssh/sshd_config.d/*.conf
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
X11Forwarding yes
MaxStartups 100:30:1000
LogLevel DEBUG1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayHost:
    """A running host. ``admin_key`` is a private key file that logs in as root."""

    folder: Path
    port: int
    host_key: str
    admin_key: Path
    pid: int  # of a process in its namespace

    def run(self, command: str, *, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a shell command as root at the host."""
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "sh", "-c", command],
            input=given, capture_output=True, text=True, check=False, timeout=_PATIENCE_S,
        )  # fmt: skip

    def ssh(
        self, user: str, key: Path, *options: str, command: str | None = None, given: str = "", **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the OpenSSH client as ``user`` with ``key``; ``given`` is its standard input."""
        told = [] if command is None else [command]
        return subprocess.run(
            ["ssh", *self.options(key), *options, "-l", user, "127.0.0.1", *told],
            input=given, capture_output=True, text=True, check=False, timeout=_PATIENCE_S,
            env={**os.environ, **environment},
        )  # fmt: skip

    def options(self, key: Path) -> list[str]:
        """Return the OpenSSH client's options that reach this host and nobody's own configuration."""
        return [
            "-F", "none", "-p", str(self.port), "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", "-o", "GlobalKnownHostsFile=none",
        ]  # fmt: skip

    def become_relay(self, script: str) -> None:
        """Run the account script through the admin's own ssh, and wait until sshd goes by its new configuration."""
        starts = self.log.count("Server listening on")
        done = self.ssh("root", self.admin_key, command="sh -s", given=script)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: self.log.count("Server listening on") > starts, "sshd read its configuration again")

    @property
    def log(self) -> str:
        """What sshd has said so far."""
        return (self.folder / "log").read_text(errors="replace")


@contextmanager
def relay_host(folder: Path, *, config: str = "") -> Iterator[RelayHost]:
    """Run a host until the block ends; ``config`` goes into its /etc/ssh/sshd_config."""
    folder.mkdir(parents=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(folder / "host_key"))
    (folder / "host_key").chmod(0o600)
    admin = asyncssh.generate_private_key("ssh-ed25519")
    admin.write_private_key(str(folder / "admin_key"))
    (folder / "admin_key").chmod(0o600)
    port = free_port()
    public = key.export_public_key().decode().strip()
    (folder / "host_key.pub").write_text(public)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (folder / "admin.pub").write_bytes(admin.export_public_key())
    text = _CONFIG.format(folder=folder, port=port, host_key=folder / "host_key", extra=config)
    (folder / "sshd_config").write_text(text)
    with tempfile.TemporaryDirectory(prefix="host-") as upper, (folder / "log").open("wb") as log:
        Path(upper).chmod(0o755)  # the accounts' programs lie below it
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _script(folder, upper)], stderr=log
        )
        host = RelayHost(folder=folder, port=port, host_key=public, admin_key=folder / "admin_key", pid=process.pid)
        try:
            wait_until(
                lambda: "Server listening on" in host.log or process.poll() is not None, "the host's sshd listens"
            )
            assert process.poll() is None, host.log
            yield host
        finally:
            for pid in family(process.pid):  # sshd's connections outlive their listener
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(_PATIENCE_S)


def _script(folder: Path, upper: str) -> str:
    """Return what makes the host and becomes its sshd."""
    lines = [f"mount -t tmpfs tmpfs {upper}"]
    for path in _OVERLAID:
        own = f"{upper}{path}"
        options = f"lowerdir={path},upperdir={own}/u,workdir={own}/w"
        lines.append(f"mkdir -p {own}/u {own}/w && mount -t overlay overlay -o {options} {path}")
    lines += [
        f"cp {folder}/host_key.pub /etc/ssh/ssh_host_ed25519_key.pub && rm -f /etc/ssh/ssh_host_[er][cs]*",
        f"cp {folder}/sshd_config /etc/ssh/sshd_config && rm -f /etc/ssh/sshd_config.d/*",
        "mount -t tmpfs -o mode=700 tmpfs /root && mkdir -m 700 /root/.ssh",
        f"cp {folder}/admin.pub /root/.ssh/authorized_keys",
        "mkdir -p -m 755 /run/sshd",
        f"exec {SSHD} -D -e -f /etc/ssh/sshd_config",
    ]
    return "\n".join(lines)


def key_file(folder: Path, name: str) -> tuple[Path, str]:
    """Return the file of a new private key and its public line."""
    folder.mkdir(parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    return path, key.export_public_key().decode().strip()
