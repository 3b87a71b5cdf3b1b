"""A relay forwards for the one key it knows, and does nothing else for anybody."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.relays import RelayFailed, RelaySshd
from gateway.demo.wan.proxies import DelayProxies


@pytest.fixture(name="wan")
def one_host() -> Iterator[DelayProxies]:
    """Make a WAN whose one host is the relay's; sshd is the same in either kind of WAN."""
    with DelayProxies() as wan:
        wan.add_host("relay")
        yield wan


@pytest.fixture(name="key")
def client_key(tmp_path: Path) -> Path:
    """Make the client's key."""
    return new_key(tmp_path / "client")


def new_key(file: Path) -> Path:
    """Return a new private key's path; the public one is beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


def started(wan: DelayProxies, tmp_path: Path, key: Path, *, may_exec: bool = False) -> RelaySshd:
    """Start the relay that knows ``key``."""
    public = key.with_suffix(".pub").read_text()
    return RelaySshd.start(wan, "relay", directory=tmp_path / "relay", client_key=public, may_exec=may_exec)


def ssh(relay: RelaySshd, key: Path, *arguments: str, host_key: str = "") -> subprocess.CompletedProcess[str]:
    """Run the real client against the relay, its host key pinned; input empty."""
    known = key.with_name("known_hosts")
    known.write_text(f"[127.0.0.1]:{relay.port} {host_key or relay.host_key}\n")
    options = ("-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes")
    command = ["ssh", *options, "-i", str(key), "-p", str(relay.port), f"{relay.user}@127.0.0.1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=60)


def test_it_forwards_but_runs_nothing(wan: DelayProxies, tmp_path: Path, key: Path) -> None:
    """Forwarding to the relay's own port gives its banner; a command and a remote listener are refused.

    The key alone is restricted too, for the day somebody loosens the server's configuration.
    """
    relay = started(wan, tmp_path, key)
    assert (tmp_path / "relay" / "authorized_keys").read_text().startswith("restrict,port-forwarding ssh-ed25519 ")

    assert ssh(relay, key, "-W", f"127.0.0.1:{relay.port}").stdout.startswith("SSH-2.0-OpenSSH")

    command = ssh(relay, key, "echo", "shell")
    assert command.returncode == 255
    assert command.stdout == ""
    listener = ssh(relay, key, "-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1")
    assert listener.returncode == 255
    assert "remote port forwarding failed" in listener.stderr


def test_commands_run_only_where_asked_for(wan: DelayProxies, tmp_path: Path, key: Path) -> None:
    """With may_exec the same command works."""
    relay = started(wan, tmp_path, key, may_exec=True)
    assert ssh(relay, key, "echo", "shell").stdout == "shell\n"


def test_another_key_and_a_wrong_host_key_are_refused(wan: DelayProxies, tmp_path: Path, key: Path) -> None:
    """A stranger's key does not log in; a client that pinned another host key does not go on."""
    relay = started(wan, tmp_path, key)
    stranger = new_key(tmp_path / "stranger")

    assert "Permission denied (publickey)" in ssh(relay, stranger, "-W", "127.0.0.1:1").stderr

    wrong = " ".join(stranger.with_suffix(".pub").read_text().split()[:2])
    assert "Host key verification failed" in ssh(relay, key, "-W", "127.0.0.1:1", host_key=wrong).stderr


def test_a_stopped_relay_refuses_connections(wan: DelayProxies, tmp_path: Path, key: Path) -> None:
    """Stopping ends the listener at once, twice is harmless, and starting again on the same files works."""
    relay = started(wan, tmp_path, key)
    relay.stop()
    relay.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), 5)

    again = started(wan, tmp_path, key)
    assert again.host_key != relay.host_key
    with socket.create_connection(("127.0.0.1", again.port), 5) as client:
        assert client.recv(99).startswith(b"SSH-2.0-")


def test_a_missing_sshd_names_its_package(
    wan: DelayProxies, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without openssh-server the error says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("gateway.demo.wan.namespaces._SYSTEM_DIRECTORIES", str(tmp_path))
    with pytest.raises(RelayFailed, match="sshd is not installed; on Debian: apt-get install openssh-server"):
        started(wan, tmp_path, key)


def test_sshds_own_complaint_is_in_the_error(tmp_path: Path, key: Path) -> None:
    """When sshd ends at once, what it said is in the error; here its address is not of this machine."""

    class Elsewhere(DelayProxies):
        def ip(self, host: str) -> str:
            super().ip(host)
            return "192.0.2.1"

    with Elsewhere() as elsewhere:
        elsewhere.add_host("relay")
        with pytest.raises(RelayFailed, match="Cannot assign requested address"):
            started(elsewhere, tmp_path, key)


def test_a_private_key_or_two_lines_are_no_client_key(wan: DelayProxies, tmp_path: Path, key: Path) -> None:
    """Two lines could smuggle a second, unrestricted key into authorized_keys."""
    for bad in ("", "one-word", key.read_text(), "ssh-ed25519 AAAA\nssh-ed25519 BBBB"):
        with pytest.raises(RelayFailed, match="one public key line"):
            RelaySshd.start(wan, "relay", directory=tmp_path / "relay", client_key=bad)
