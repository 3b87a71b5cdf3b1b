"""Relays from the admin's point of view: real hosts become relays by one command each, and are kept so."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.client.client import Client
from tests.support.relay_host import RelayHost, relay_host
from tests.support.small_world import PATIENCE_S, Program, start
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

KEY_FILE = "/var/lib/crossway/crossway/.ssh/authorized_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A gateway process and two hosts that are no relays yet."""

    folder: Path
    gateway: Program
    server: str
    hosts: Mapping[str, RelayHost]

    @property
    def admin(self) -> Client:
        """The admin's client."""
        return Client(self.server, (self.folder / "state" / "admin.token").read_text().strip(), timeout_s=PATIENCE_S)

    def crossway(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line as the admin."""
        environment = {
            **os.environ, "CROSSWAY_SERVER": self.server, "CROSSWAY_OUTPUT": "json",
            "CROSSWAY_TOKEN_FILE": str(self.folder / "state" / "admin.token"),
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip

    def bootstrap(self, name: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Make the host called ``name`` a relay at the site of that name, by the admin's own ssh."""
        host = self.hosts[name]
        options = [word for word in host.options(host.admin_key) if "=" in word]
        asked = [part for option in options for part in ("-O", option)]
        asked += ["-O", f"Port={host.port}", "-O", f"IdentityFile={host.admin_key}"]
        return self.crossway("relay", "bootstrap", name, "root@127.0.0.1", "--site", name, *asked, *words)

    def held(self, name: str) -> str:
        """Return the key file as it stands at the host."""
        return self.hosts[name].run(f"cat {KEY_FILE}").stdout

    def wait_current(self, name: str) -> Mapping[str, Any]:
        """Wait until the relay is known to hold what it should, and return it."""
        found: Mapping[str, Any] = self.admin.relays.wait(
            name, until=lambda each: each["permits"]["state"] == "current", timeout_s=PATIENCE_S
        )
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The gateway links to site near, which links to site far; the host at site odd forwards nothing."""
    tmp_path = tmp_path_factory.mktemp("relays")
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(relay_host(tmp_path / name)) for name in ("near", "far")}
        hosts["odd"] = stack.enter_context(relay_host(tmp_path / "odd", config="AllowTcpForwarding no"))
        config = tmp_path / "crossway.toml"
        config.write_text(
            f'[gateway]\nstate_dir = "{tmp_path}/state"\n[api]\nlisten = "unix:{tmp_path}/api"\n'
            '[probe]\nicmp = "off"\n[relays]\ncheck_period_s = 0.5\n'
        )
        gateway = start([sys.executable, "-m", "gateway", "serve", "--config", str(config)], tmp_path / "gateway.log")
        stack.callback(gateway.stop)
        server = str(gateway.ready()["listening"])
        made = World(folder=tmp_path, gateway=gateway, server=server, hosts=hosts)
        for site in ("near", "far", "odd", "cloud"):
            made.admin.sites.create(name=site)
        for source, target in (("gateway", "near"), ("near", "far"), ("far", "cloud")):
            made.admin.links.create(source=source, target=target, both_ways=False)
        yield made


def test_hosts_become_relays_and_are_kept(world: World) -> None:
    """Each step of the network's life reaches the key files: a relay behind another, an approval, a drift, a change."""
    done = world.bootstrap("near", "--yes")
    assert done.returncode == 0, done.stderr
    assert "SHA256:" in done.stderr
    assert json.loads(done.stdout)["permits"]["addresses"] == ["127.0.0.1:1"]

    # The far one can be looked after only once the near one permits it.
    assert world.bootstrap("far", "--yes").returncode == 0
    far_address = f"127.0.0.1:{world.hosts['far'].port}"
    assert f'permitopen="{far_address}"' in world.held("near")

    # An approval reaches the relay next to the platform, and no other.
    port = free_port()
    _enrol(world, port)
    wait_until(lambda: f'permitopen="127.0.0.1:{port}"' in world.held("far"), "the approved endpoint is permitted")
    assert f"127.0.0.1:{port}" not in world.held("near")
    world.wait_current("far")

    # Whatever somebody else writes there is put right, and told.
    foreign = world.held("far").splitlines()[0].replace("127.0.0.1:1", "127.0.0.1:9999")
    world.hosts["far"].run(f"cat > {KEY_FILE}", given=foreign + "\n")
    wait_until(lambda: "9999" not in world.held("far"), "the drift is gone")
    wait_until(lambda: world.admin.relays.get("far")["permits"]["drifted_at"] is not None, "the drift is told")

    # Another way to log in is proved before the one in use is taken away.
    world.admin.relays.set("far", login="certificate")
    wait_until(lambda: world.admin.relays.get("far").get("login") == "certificate", "certificates are shown")
    wait_until(lambda: world.held("far").startswith("cert-authority,"), "the raw key is let in no more")
    assert len(world.held("far").splitlines()) == 1
    world.wait_current("far")


def test_the_key_is_changed_without_an_outage(world: World) -> None:
    """Both relays let the next key in, it is used, the old one is gone; the doctor then finds nothing wrong."""
    before = world.admin.ssh_key.get()
    done = world.crossway("ssh-key", "rotate", "--wait", "--timeout", "50")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert after["shown"] != before["shown"]
    assert after == {"shown": after["shown"], "next": None, "waits_for": {}, "holds_more": []}
    assert after["shown"] in world.held("near")
    assert before["shown"] not in world.held("near")
    assert not (world.folder / "state" / "ssh_key.next").exists()
    examined = world.crossway("relay", "doctor", "near")
    assert examined.returncode == 0, examined.stdout


def test_a_key_that_a_relay_does_not_let_in_is_not_used(world: World) -> None:
    """One relay's caretaker is gone: the next key waits, says for whom, and can be given up."""
    before = world.admin.ssh_key.get()["shown"]
    guarded = "/var/lib/crossway/crossway-caretaker/.ssh/authorized_keys"
    world.hosts["near"].run(f"mv {guarded} {guarded}.away")
    world.admin.ssh_key.rotate()
    wait_until(lambda: "near" in world.admin.ssh_key.get()["waits_for"], "it is told who is waited for")
    assert world.admin.ssh_key.get()["shown"] == before
    assert world.admin.ssh_key.keep()["next"] is None
    examined = world.crossway("relay", "doctor", "near")
    assert examined.returncode == 1
    assert "crossway relay bootstrap near" in examined.stdout
    world.hosts["near"].run(f"mv {guarded}.away {guarded}")
    world.wait_current("near")


def test_a_host_that_cannot_be_one_is_not_registered(world: World) -> None:
    """The command fails with what the host says, and neither side keeps a trace."""
    done = world.bootstrap("odd", "--yes")
    assert done.returncode == 1
    assert "set AllowTcpForwarding to local" in done.stderr
    assert "odd" not in [relay["name"] for relay in world.admin.relays.list()]
    assert world.hosts["odd"].run("getent passwd crossway").stdout == ""


def test_nothing_is_pinned_without_a_word(world: World) -> None:
    """Where nobody can be asked and --yes is not said, the fingerprints are shown and nothing is done."""
    done = world.bootstrap("odd")
    assert done.returncode == 2
    assert "SHA256:" in done.stderr
    assert world.hosts["odd"].run("getent passwd crossway").stdout == ""


def test_the_script_can_be_read_first(world: World) -> None:
    """--print writes the whole script and touches nothing."""
    done = world.bootstrap("odd", "--print", "--account", "other")
    assert done.stdout.startswith("#!/bin/sh\naccount=other\n")
    assert world.hosts["odd"].run("getent passwd other").stdout == ""


def _enrol(world: World, port: int) -> None:
    """Enrol a simulated platform at the site cloud, whose API the admin approved at ``port`` of loopback."""
    api = {"url": f"http://cloud.example:{port}"}
    enrolment = world.admin.enrolments.create(
        platform_name="cloud", endpoints=[{"purpose": "api", **api, "dial": f"127.0.0.1:{port}"}]
    )
    Client(world.server, timeout_s=PATIENCE_S).platforms.enrol(
        enrolment_token=enrolment["token"], name="cloud", provider="simulated", site="cloud", account="a", secret="s",
        api=api,
    )  # fmt: skip
