"""Start real OpenSSH servers as relays, locked down to the one thing a relay does: forward TCP.

Each has a host key of its own, made here, and lets in exactly one client key. As root it serves root, as
any other user that user; either way in a host of the WAN.
"""

import os
import pwd
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.ports import Address
from gateway.demo.wan.link import WanError
from gateway.demo.wan.namespaces import find_program
from gateway.demo.wan.ports import Wan

SSH_PORT = 22
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 3.0
_CHECK_TIMEOUT_S = 10.0
_POLL_S = 0.01
_PORT_TRIES = 5
_SHADOW = Path("/etc/shadow")
_PRIVILEGE_SEPARATION_DIRECTORY = Path("/run/sshd")  # Debian's sshd insists on it as root

# Forwarding to where the client says is allowed; everything else a login could do is not.
_LOCKED_DOWN = """\
AllowTcpForwarding local
PermitListen none
GatewayPorts no
AllowAgentForwarding no
AllowStreamLocalForwarding no
PermitTunnel no
X11Forwarding no
PermitTTY no
PermitUserEnvironment no
PermitUserRC no
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
UseDNS no
PrintMotd no
LogLevel ERROR
LoginGraceTime 30
"""
# Every probe of the banner is a connection that ends before it logs in: sshd must take many, and since
# OpenSSH 9.8 must not punish their source. Older servers do not know that option.
_MANY_STARTS = "MaxStartups 1000:1:2000\n"
_NO_PENALTIES = "PerSourcePenalties no\n"


class RelayFailed(WanError):
    """A relay's sshd is missing or did not start; the text says why, in its own words where it has any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySshd:
    """A running relay."""

    host: str  # its name in the WAN
    port: int
    user: str
    host_key: str  # as in known_hosts, without the address: "ssh-ed25519 AAAA..."
    process: subprocess.Popen[bytes]
    wan: Wan

    @classmethod
    def start(
        cls, wan: Wan, host: str, *, directory: Path, client_key: str, port: int = SSH_PORT, may_exec: bool = False
    ) -> Self:
        """Start sshd in ``host`` and return once it listens.

        ``directory`` is created for its key and configuration (mode 0700); ``client_key`` is a public key
        line; ``port`` is a wish (``Wan.free_port``); ``may_exec`` also lets the client run commands. Raises
        RelayFailed, at once when openssh-server is not installed.
        """
        key_file, host_key = _write_keys(directory, client_key)
        for _ in range(_PORT_TRIES):
            chosen = wan.free_port(port)
            config = _write_config(directory, key_file, wan.ip(host), chosen, may_exec=may_exec)
            process = _launch(wan, host, directory, config)
            if _wait_listening(process, directory):
                return cls(host=host, port=chosen, user=user_name(), host_key=host_key, process=process, wan=wan)
            said = (directory / "log").read_text(encoding="utf-8", errors="replace").strip()
            # On shared loopback somebody may take the free port before sshd does.
            if "Address already in use" not in said or chosen == port:
                break
        raise RelayFailed(f"sshd in {host} did not start: {said or f'not listening after {_START_TIMEOUT_S:.0f} s'}")

    def address_from(self, source: str) -> Address:
        """Return what a program in ``source`` dials to reach this relay."""
        return self.wan.address_from(source, self.host, self.port)

    def stop(self) -> None:
        """End the listening process; connections under way live on, as with any sshd. May be called again."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def user_name() -> str:
    """Return the name to log in by: the user this runs as. Raises RelayFailed when it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise RelayFailed(f"sshd cannot serve user id {os.geteuid()}: it has no entry in /etc/passwd") from error


def _write_keys(directory: Path, client_key: str) -> tuple[Path, str]:
    """Return the path of a new host key and its public line."""
    if len(client_key.split()) < 2 or "\n" in client_key.strip():  # noqa: PLR2004 - type and key
        raise RelayFailed("the client key must be one public key line, such as 'ssh-ed25519 AAAA...'")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = Ed25519PrivateKey.generate()
    key_file = directory / "host_key"
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            )
        )
    authorized = f"restrict,port-forwarding {client_key.strip()}\n"
    (directory / "authorized_keys").write_text(authorized, encoding="ascii")
    public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return key_file, public.decode("ascii")


def _write_config(directory: Path, key_file: Path, address: str, port: int, *, may_exec: bool) -> Path:
    options = {
        "ListenAddress": f"{address}:{port}",
        "HostKey": key_file,
        "PidFile": directory / "pid",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "StrictModes": "no",  # /tmp above it may be written by all; the directory itself is ours alone
        "AllowUsers": user_name(),
        "PermitRootLogin": "prohibit-password" if os.geteuid() == 0 else "no",
        "UsePAM": "yes" if os.geteuid() == 0 and _root_is_locked() else "no",
        "MaxSessions": 100 if may_exec else 0,  # 0: no shell, command or subsystem, forwarding only
    }
    config = directory / "sshd_config"
    text = "".join(f"{name} {value}\n" for name, value in options.items())
    # sshd takes the first value it meets, so what is locked down stands first.
    config.write_text(_LOCKED_DOWN + _MANY_STARTS + _penalties(_sshd_path(), key_file) + text, encoding="ascii")
    return config


def _root_is_locked() -> bool:
    """Return whether root has no password at all, as where sudo is used: sshd without PAM then refuses its keys."""
    return any(line.startswith("root:!") for line in _SHADOW.read_text(encoding="utf-8").splitlines())


def _sshd_path() -> str:
    try:
        return find_program("sshd", package="openssh-server")
    except WanError as error:
        raise RelayFailed(str(error)) from error


def _penalties(sshd: str, key_file: Path) -> str:
    """Return the option that switches penalties off where this sshd knows it."""
    _make_privilege_separation_directory()
    command = [sshd, "-T", "-f", "/dev/null", "-h", str(key_file), "-o", _NO_PENALTIES.strip().replace(" ", "=")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=_CHECK_TIMEOUT_S)
    return _NO_PENALTIES if done.returncode == 0 else ""


def _make_privilege_separation_directory() -> None:
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION_DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)


def _launch(wan: Wan, host: str, directory: Path, config: Path) -> subprocess.Popen[bytes]:
    _make_privilege_separation_directory()
    (directory / "pid").unlink(missing_ok=True)
    with (directory / "log").open("wb") as log_file:
        return wan.popen(host, [_sshd_path(), "-D", "-e", "-f", str(config)], stderr=log_file)


def _wait_listening(process: subprocess.Popen[bytes], directory: Path) -> bool:
    """Return True once sshd wrote its pid file, which it does after it listens; False when it ended or hung."""
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        if (directory / "pid").exists():
            return True
        time.sleep(_POLL_S)
    process.kill()
    process.wait()
    return False
