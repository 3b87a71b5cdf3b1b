"""The WAN lab of the tests: the demo's world of namespaces, with real sshd, packet counters and ping. Needs root.

with Lab(seed=1) as lab:
    lab.add_host("gateway"); lab.add_host("relay"); lab.add_host("cloud")
    lab.add_link("gateway", "relay", delay_ms=20)
    relay = lab.start_sshd("relay")
    straight = lab.count_packets("gateway", f"ip daddr {lab.ip('cloud')}")
    ...
    assert straight.packets() == 0
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.demo.relays import RelaySshd
from gateway.demo.wan.link import WanError
from gateway.demo.wan.namespaces import find_program, namespaces_available
from gateway.demo.wan.world import World

PYTHON = sys.executable


def require_lab() -> None:
    """Skip the calling test, saying why, where this system allows no lab. Call it first, or from a fixture."""
    lacking = lab_lacks()
    if lacking:
        pytest.skip(lacking)


def lab_lacks(**programs: str) -> str:
    """Return why there can be no lab here, or none with ``programs`` (each with its package); empty if it can."""
    if os.geteuid() != 0:
        return "the lab needs root (network namespaces)"
    try:
        for program, package in programs.items():
            find_program(program, package=package)
    except WanError as error:
        return str(error)
    available, reason = namespaces_available(user_namespace=False)
    return "" if available else f"the lab is not possible here: {reason}"


@dataclass(frozen=True, slots=True)
class Ping:
    """What ping reported; times in ms, None when nothing came back."""

    sent: int
    received: int
    rtt_min_ms: float | None
    rtt_mean_ms: float | None
    rtt_max_ms: float | None


class PacketCounter:
    """Counts, in one host's namespace, the packets that match an nftables expression."""

    def __init__(self, lab: "Lab", host: str, name: str) -> None:
        self._lab, self._host, self._name = lab, host, name

    def packets(self) -> int:
        """Return the exact number of matching packets since the counter was made."""
        done = self._lab.run(self._host, [_nft(), "-j", "list", "counter", "inet", "lab", self._name])
        if done.returncode:
            raise WanError(f"nft said: {done.stderr.strip()}")
        counters = [each["counter"] for each in json.loads(done.stdout)["nftables"] if "counter" in each]
        return int(counters[0]["packets"])


class Lab(World):
    """A world for tests. Every process it starts ends with it, also when the test process is killed."""

    def __init__(self, *, seed: int = 1, user_namespace: bool | None = None) -> None:
        super().__init__(seed=seed, user_namespace=user_namespace)
        self._counters: dict[str, int] = {}

    def start(self) -> None:
        """Start the world and make the directory for keys and configurations."""
        super().start()
        self._directory = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="crossway-lab-")))

    def build(self, links: dict[tuple[str, str], float]) -> None:
        """Add these links, each with its one-way delay in ms, and the hosts they name."""
        for host in dict.fromkeys(host for pair in links for host in pair):
            self.add_host(host)
        for (a, b), delay_ms in links.items():
            self.add_link(a, b, delay_ms=delay_ms)

    @property
    def client_key_file(self) -> Path:
        """The private key that every relay of this lab lets in; its public line is beside it in ``.pub``."""
        file = self._directory / "client_key"
        if not file.exists():
            keygen = find_program("ssh-keygen", package="openssh-client")
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
        return file

    def start_sshd(self, host: str, *, may_exec: bool = False) -> RelaySshd:
        """Start a real, locked-down OpenSSH server in ``host``, on port 22."""
        return RelaySshd.start(
            self,
            host,
            directory=self._directory / f"sshd-{host}",
            client_key=self.client_key_file.with_suffix(".pub").read_text(),
            may_exec=may_exec,
        )

    def known_hosts(self, *relays: RelaySshd) -> Path:
        """Return a known_hosts file that pins ``relays``."""
        file = self._directory / "known_hosts"
        file.write_text("".join(f"{self.ip(relay.host)} {relay.host_key}\n" for relay in relays))
        return file

    def count_packets(self, host: str, match: str, *, hook: str = "output") -> PacketCounter:
        """Count from now on what leaves ``host`` (``hook`` "input": what reaches it) and matches.

        ``match`` is an nftables expression such as "ip daddr 10.77.3.1 tcp dport 443".
        """
        name = f"c{self._counters.setdefault(host, 0)}"
        self._counters[host] += 1
        script = (
            "add table inet lab; "
            f"add chain inet lab {hook} {{ type filter hook {hook} priority 0; }}; "
            f"add counter inet lab {name}; "
            f"add rule inet lab {hook} {match} counter name {name}"
        )
        done = self.run(host, [_nft(), script])
        if done.returncode:
            raise WanError(f"nft does not take {match!r}: {done.stderr.strip()}")
        return PacketCounter(self, host, name)

    def ping(self, host: str, destination: str, *, count: int = 10, interval_s: float = 0.01) -> Ping:
        """Ping from ``host``; a reply counts as lost after 2 s."""
        command = ["ping", "-n", "-q", "-c", str(count), "-i", str(interval_s), "-W", "2", self.ip(destination)]
        said = self.run(host, command, timeout_s=60 + count * interval_s)
        counts = re.search(r"(\d+) packets transmitted, (\d+) received", said.stdout)
        if counts is None:
            raise WanError(f"ping said: {said.stdout}{said.stderr}")
        times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", said.stdout)
        low, mean, high = map(float, times.groups()) if times else (None, None, None)
        return Ping(int(counts[1]), int(counts[2]), low, mean, high)

    def python(self, host: str, code: str, *arguments: str) -> str:
        """Run Python ``code`` in ``host`` and return what it printed. Raises AssertionError when it failed."""
        done = self.run(host, [PYTHON, "-c", code, *arguments])
        assert done.returncode == 0, done.stderr
        return done.stdout


def _nft() -> str:
    return find_program("nft", package="nftables")
