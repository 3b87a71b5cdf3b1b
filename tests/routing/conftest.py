"""Real relays for the routing tests."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from hypothesis import HealthCheck, settings

from tests.routing.world import MakeWorld, World
from tests.support.sshd import Sshd

# The machine may be busy; how long an example takes is no property of the code.
settings.register_profile("no-deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def client_key() -> asyncssh.SSHKey:
    """Return the gateway's key."""
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture
def world(tmp_path: Path, client_key: asyncssh.SSHKey) -> Iterator[MakeWorld]:
    """Return a maker of worlds with a number of running relays; they end with the test."""
    line = client_key.export_public_key().decode().strip()
    with contextlib.ExitStack() as stack:

        def make(count: int, config: str = "") -> World:
            sshds = [
                stack.enter_context(Sshd(tmp_path / f"r{place}", line, config=config)) for place in range(1, count + 1)
            ]
            return World(sshds, client_key)

        yield make
