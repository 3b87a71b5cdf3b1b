"""``crossway forward`` over real relays: within what the owner grants, by each of its doors, and cut at once.

Everything is in a network namespace of its own: loopback is never forwarded to, so there must be another address.
"""

import hashlib
import os
import shlex
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from gateway.bootstrap import ADMIN_TOKEN_FILE
from tests.support.echo import Echo, echo
from tests.support.lab import Lab, require_lab
from tests.support.small_world import GRANT_ALL, PATIENCE_S, PLATFORM, ROOT, SERVICES, SmallWorld, small_world
from tests.support.sshd import Sshd

REVOKED_WITHIN_S = 1.0
# Says something to a port as another user, and prints what comes back. The import is made while it still may read it.
AS_NOBODY = """
import encodings.idna, os, socket, sys
os.setuid(65534)
stream = socket.create_connection((sys.argv[1], int(sys.argv[2])))
try:
    stream.sendall(b"theirs")
    print(stream.recv(100))
except OSError:
    print(b"")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The world, and what the platform's owner lets others reach: a server and a machine's sshd, not ``other``."""

    world: SmallWorld
    granted: Echo
    other: Echo
    machine: Sshd
    machine_key: Path

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``crossway forward``, as the admin."""
        token = str(self.world.state_dir / ADMIN_TOKEN_FILE)
        return [sys.executable, "-m", "gateway", "forward", "--server", self.world.server, "--token-file", token,
                *arguments]  # fmt: skip

    def run(self, *arguments: str, said: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """Run it to its end, with ``said`` on its standard input."""
        return subprocess.run(
            self.command(*arguments), input=said, capture_output=True, timeout=PATIENCE_S, check=False, cwd=ROOT
        )

    @contextmanager
    def running(self, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
        """Run it while the block lasts."""
        process = subprocess.Popen(
            self.command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A connected platform whose owner grants forwarding to one server and not to the one beside it."""
    require_lab()
    with Lab(seed=1) as lab:
        address = lab.add_host("site")
        folder = tmp_path_factory.mktemp("forward")
        key = asyncssh.generate_private_key("ssh-ed25519")
        (folder / "machine_key").touch(mode=0o600)
        key.write_private_key(folder / "machine_key")
        line = key.export_public_key().decode().strip()
        with (
            lab.enter("site"),
            echo(address) as granted,
            echo(address) as other,
            Sshd(folder / "machine", line, host=address, first="MaxSessions 5") as machine,
        ):
            destinations = [f"{address}:{granted.address[1]}", f"{address}:{machine.port}", "localhost.example:22"]
            rule = f'[policy.forward]\ndecision = "grant"\ndestinations = {destinations}\n'.replace("'", '"')
            with small_world(folder, policy=GRANT_ALL + rule, services=[*SERVICES, "forward"]) as world:
                world.start_gateway()
                world.declare_network()
                world.enrol()
                world.connect()
                accept_forwarding(world)
                yield Site(
                    world=world, granted=granted, other=other, machine=machine, machine_key=folder / "machine_key"
                )


def accept_forwarding(world: SmallWorld) -> str:
    """Accept the grant to forward, as the admin, and return its id."""
    grant = next(each for each in world.admin.grants.list() if each["capability"] == "forward")
    world.admin.grants.accept(grant["id"])
    return grant["id"]


def at(server: Echo) -> str:
    """Return ``host:port`` of ``server``."""
    return f"{server.address[0]}:{server.address[1]}"


def test_standard_input_and_output_reach_the_server_and_half_closes_pass(site: Site) -> None:
    """What is said comes back, and after the end of input the server's last words still arrive; bytes are counted."""
    said = os.urandom(300_000).hex().encode()
    done = site.run(PLATFORM, at(site.granted), "--stdio", said=said)
    assert done.stderr == b""
    assert done.returncode == 0
    assert done.stdout == said.upper() + f" heard {len(said)}".encode()
    assert newest_passage(site) == (at(site.granted), "stream", 1, len(said), len(done.stdout))


def test_ssh_takes_it_for_its_proxy_command(site: Site, tmp_path: Path) -> None:
    """Debian's ssh runs a command on the machine, checks its host key, and pipes both ways until the end."""
    machine, said = site.machine, os.urandom(200_000)
    (tmp_path / "known_hosts").write_text(f"[{machine.host}]:{machine.port} {machine.host_key}\n")
    options = {
        "ProxyCommand": shlex.join(site.command(PLATFORM, "%h:%p", "--stdio")),
        "UserKnownHostsFile": tmp_path / "known_hosts",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
    }
    command = ["ssh", "-F", "none", "-i", str(site.machine_key), "-p", str(machine.port)]
    command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    command += [f"{machine.user}@{machine.host}", "sha256sum; exit 7"]
    done = subprocess.run(command, input=said, capture_output=True, timeout=PATIENCE_S, check=False, cwd=ROOT)
    assert done.stdout.decode().split()[:1] == [hashlib.sha256(said).hexdigest()], done.stderr
    assert done.returncode == 7


def newest_passage(site: Site) -> tuple[object, ...]:
    """Return what the newest passage was for, its kind, calls, bytes in and bytes out, as they are recorded."""
    with closing(sqlite3.connect(f"file:{site.world.state_dir}/crossway.sqlite3?mode=ro", uri=True)) as database:
        row: tuple[object, ...] = database.execute(
            "SELECT purpose, kind, calls, bytes_in, bytes_out FROM passage ORDER BY id DESC LIMIT 1"
        ).fetchone()
    return row


@pytest.mark.parametrize(
    ("to", "told"),
    [
        pytest.param("other", "does not grant this destination", id="the port beside it"),
        pytest.param("127.0.0.1:22", "loopback", id="loopback of the relay"),
        pytest.param("169.254.169.254:80", "metadata", id="metadata"),
        pytest.param("[fd00:ec2::254]:80", "metadata", id="metadata by IPv6"),
        pytest.param("localhost:22", "loopback", id="loopback by its name"),
        pytest.param("2130706433:22", "not a host name", id="loopback as a number"),
        pytest.param("db.internal:5432", "granted:", id="a name that nobody granted"),
    ],
)
def test_what_is_not_granted_is_refused(site: Site, to: str, told: str) -> None:
    """The refusal says why and what would be right, and nothing is dialled."""
    dialled = site.other.accepted
    done = site.run(PLATFORM, at(site.other) if to == "other" else to, "--stdio")
    assert done.returncode in {2, 5}
    assert told in done.stderr.decode()
    assert done.stdout == b""
    assert site.other.accepted == dialled


def test_a_unix_socket_is_its_owners_and_goes_away(site: Site, tmp_path: Path) -> None:
    """Mode 0600 from its first moment, several streams at once, and no file left behind."""
    path = tmp_path / "door"
    with site.running(PLATFORM, at(site.granted), "--socket", str(path)) as process:
        listening(process)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with connected(str(path)) as one, connected(str(path)) as two:
            assert (asked(one, b"one"), asked(two, b"two"), asked(one, b"again")) == (b"ONE", b"TWO", b"AGAIN")
        again = site.run(PLATFORM, at(site.granted), "--socket", str(path))
        assert again.returncode == 1
        assert "remove it" in again.stderr.decode()
    assert process.returncode == 0
    assert not path.exists()


def test_a_port_serves_the_callers_own_uid_only(site: Site) -> None:
    """On loopback alone; another local user's connection is closed before anything is dialled."""
    with site.running(PLATFORM, at(site.granted), "--port", "0") as process:
        host, _, port = listening(process).rpartition(":")
        assert host == "127.0.0.1"
        with connected((host, int(port))) as own:
            assert asked(own, b"mine") == b"MINE"
        dialled = site.granted.accepted
        stranger = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, host, port], capture_output=True, timeout=60, check=True
        )
        assert stranger.stdout.strip() == b"b''"
        assert site.granted.accepted == dialled


def test_a_revoked_grant_cuts_what_runs(site: Site, tmp_path: Path) -> None:
    """An idle stream is cut within a second of the revocation, the next is refused, and the CLI says why."""
    path = tmp_path / "door"
    grant = next(each["id"] for each in site.world.admin.grants.list() if each["capability"] == "forward")
    with site.running(PLATFORM, at(site.granted), "--socket", str(path)) as process:
        listening(process)
        with connected(str(path)) as stream:
            assert asked(stream, b"before") == b"BEFORE"
            site.world.admin.grants.revoke(grant)
            began_s = time.monotonic()
            assert stream.recv(100) == b""
            assert time.monotonic() - began_s < REVOKED_WITHIN_S
        with connected(str(path)) as refused:
            assert refused.recv(100) == b""
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert "not granted" in told
    assert "denied" in told.lower()


def listening(process: "subprocess.Popen[bytes]") -> str:
    """Wait until the command says where it listens, and return that."""
    assert process.stdout is not None
    for line in process.stdout:
        if b"127.0.0.1:" in line or b"unix:" in line:
            return next(word for word in line.decode().split() if ":" in word)
    raise AssertionError(f"it did not listen: {process.stderr.read() if process.stderr else b''!r}")


def connected(address: str | tuple[str, int]) -> socket.socket:
    """Return a connection to a door."""
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    sock.settimeout(PATIENCE_S)
    sock.connect(address)
    return sock


def asked(stream: socket.socket, said: bytes) -> bytes:
    """Say something and return the answer, which is as long."""
    stream.sendall(said)
    answer = b""
    while len(answer) < len(said):
        piece = stream.recv(100)
        assert piece, "the stream ended"
        answer += piece
    return answer
