"""The connection machinery for the tests of its parts."""

from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from tests.support.connecting import Connecting, connecting, eager
from tests.support.sshd import Sshd


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Connecting]:
    """Return the machinery over a fresh database; the gateway may dial the platform directly."""
    with connecting(tmp_path) as made:
        yield made


# The direct link is three times as long as the way over either relay, and r1 is the better of the two.
RTT_MS = {
    ("gateway", "platform/mumbai"): 300.0,
    ("gateway", "r1"): 20.0,
    ("r1", "platform/mumbai"): 20.0,
    ("gateway", "r2"): 30.0,
    ("r2", "platform/mumbai"): 30.0,
}


@pytest.fixture
def relays(world: Connecting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    """Return two relays, declared and running, which end with the test."""
    world.ssh_key = asyncssh.generate_private_key("ssh-ed25519")
    line = world.ssh_key.export_public_key().decode().strip()
    world.rtt_ms |= RTT_MS
    started = {}
    for name in ("r1", "r2"):
        started[name] = Sshd(tmp_path_factory.mktemp(name), line).start()
        world.add_relay(name, started[name])
    world.wire(policy=eager(prove_s=0.2))
    yield started
    for sshd in started.values():
        sshd.stop()
