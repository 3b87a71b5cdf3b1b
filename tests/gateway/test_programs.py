"""The server programs say what they found, one JSON line each, and refuse in words."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from catalog.messages.signing_key import load_or_create_key
from catalog.store.database import Database
from gateway import programs
from gateway.bootstrap import bootstrap, prepare_state_dir
from gateway.clock import SystemClock
from gateway.programs import FAILED, OK, USAGE
from gateway.relays.ssh_keys import SSH_KEY_FILE
from gateway.settings import Settings, load
from tests.support.sshd import Sshd

CAP_NET_RAW = 13  # linux/capability.h


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a settings file whose state directory is in ``tmp_path``."""
    path = tmp_path / "crossway.toml"
    path.write_text(f'[gateway]\nstate_dir = "{tmp_path}/state"\n')
    return path


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Sshd]:
    """Return a relay that accepts the gateway's key."""
    prepare_state_dir(tmp_path / "state")
    key = load_or_create_key(tmp_path / "state" / SSH_KEY_FILE).public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    with Sshd(tmp_path / "relay", line) as sshd:
        yield sshd


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Return the printed findings by name."""
    return {each["check"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}


def declare(config: Path, *relays: tuple[str, str, int, str, str]) -> None:
    """Write the relays (name, user, port, host key, more) into the database, by the settings that declare them."""
    lines = ['[[network.sites]]\nname = "fra"']
    lines += [
        f'[[network.relays]]\nname = "{name}"\nsite = "fra"\nhost = "127.0.0.1"\nport = {port}\nuser = "{user}"\n'
        f'host_key = "{host_key}"\n{more}'
        for name, user, port, host_key, more in relays
    ]
    config.write_text(config.read_text() + "\n".join(lines) + "\n")
    settings = load(config)
    prepare_state_dir(settings.gateway.state_dir)
    asyncio.run(_declared(settings))


async def _declared(settings: Settings) -> None:
    clock = SystemClock()
    async with Database.open(settings.database_url, clock=clock) as database:
        await bootstrap(database, settings, clock)


def test_check_says_which_relay_is_good(config: Path, relay: Sshd, capsys: pytest.CaptureFixture[str]) -> None:
    """Each relay is logged in at: the good one is ok, a wrong pin and a closed port say what is wrong, by code."""
    wrong = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    declare(
        config,
        ("good", relay.user, relay.port, relay.host_key, ""),
        ("impostor", relay.user, relay.port, wrong, ""),
        ("absent", relay.user, 1, relay.host_key, ""),
        ("elsewhere", relay.user, 1, relay.host_key, f'addresses_from = {{ gateway = "127.0.0.1:{relay.port}" }}\n'),
    )
    assert programs.check(config) == FAILED
    findings = found(capsys)
    assert [findings[name]["ok"] for name in ("settings", "packages", "keys", "database")] == [True] * 4
    assert findings["keys"]["ssh_key"].startswith("ssh-ed25519 ")
    assert findings["relay good"] == {"check": "relay good", "ok": True}
    assert findings["relay elsewhere"]["ok"]
    assert findings["relay impostor"]["code"] == "host-key-mismatch"
    assert findings["relay absent"]["code"] == "hop-refused"
    relay.wait_connections(0)


def test_check_of_what_is_good(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a fault the exit code is 0, also the second time."""
    assert (programs.check(config), programs.check(config)) == (OK, OK)
    assert all(each["ok"] for each in found(capsys).values())


def test_migrate_says_what_was_and_what_is(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty database becomes current; doing it again finds it current."""
    for before in ("empty", "current"):
        assert programs.migrate(config) == OK
        told = json.loads(capsys.readouterr().out)
        assert (told["before"], told["now"]) == (before, "current")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        pytest.param("", "provision.listen", id="no gateway"),
        pytest.param('[provision]\nlisten = "127.0.0.1:1"\n', "queue.url", id="no queue that is shared"),
        pytest.param(
            '[provision]\ngateway = "127.0.0.1:1"\n[queue]\nurl = "amqp://guest@127.0.0.1:1/"\n',
            "egress.secret",
            id="no secret",
        ),
        pytest.param('[provision]\nlisten = "anywhere"\n', "provision.listen", id="no address"),
    ],
)
def test_a_provisioner_that_cannot_work_says_what_it_lacks(
    config: Path, capsys: pytest.CaptureFixture[str], more: str, field: str
) -> None:
    """A start is refused, and names the setting; so does the check."""
    with config.open("a") as file:
        file.write(more)
    assert programs.provision(config) == USAGE
    assert field in capsys.readouterr().err
    if more:
        assert programs.check(config) != OK
        assert field in "".join(capsys.readouterr())


def test_a_gateway_that_cannot_be_heard_lets_no_provisioner_in(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a queue that is shared the gateway does not start: nobody would make its machines."""
    with config.open("a") as file:
        file.write('[provision]\nlisten = "127.0.0.1:1"\n')
    assert programs.serve(config) == USAGE
    assert "queue.url" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param("site = 5\n", "gateway.site", id="a wrong value"),
        pytest.param("[background]\ndisabled = ['dance']\n", "background.disabled names no task: dance", id="no task"),
        pytest.param("[handshake]\naccept = ['dance']\n", "is not a standing rule", id="no rule"),
    ],
)
def test_a_start_that_cannot_be_is_refused_in_words(
    config: Path, capsys: pytest.CaptureFixture[str], more: str, said: str
) -> None:
    """Wrong settings end the program with exit code 2, one message and a fix, before anything listens."""
    config.write_text(config.read_text() + more)
    assert programs.serve(config) == USAGE
    caught = capsys.readouterr()
    assert said in caught.err
    assert "fix: " in caught.err
    assert caught.out == ""


def test_a_gateway_of_its_own_gives_its_privileges_up(config: Path) -> None:
    """As a program it may, once it is up, no longer open raw sockets, whoever started it."""
    config.write_text(config.read_text() + f'[api]\nlisten = "unix:{config.parent}/api"\n')
    site = '[[network.sites]]\nname = "gateway"\n'
    config.write_text(config.read_text() + site)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert "listening" in json.loads(running.stdout.readline())
            status = Path(f"/proc/{running.pid}/status").read_text()
            held = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
            assert held["CapEff:"] >> CAP_NET_RAW & 1 == 0
            assert held["CapPrm:"] >> CAP_NET_RAW & 1 == 0
            assert held["CapBnd:"] >> CAP_NET_RAW & 1 == 0 or os.getuid() != 0
        finally:
            running.terminate()
        assert running.wait(timeout=60) == OK
