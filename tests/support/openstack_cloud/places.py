"""Where a private OpenStack keeps its things: one folder, ports of its own on loopback, a public name."""

import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# The programs that listen. ``rabbit-nodes`` is where RabbitMQ's node would be found by other nodes.
LISTENING: Final = (
    "database", "rabbit", "rabbit-nodes", "epmd", "keystone", "glance", "nova", "placement", "neutron",
)  # fmt: skip
# What the catalog tells: service type, its name, and the path under its port.
CATALOG: Final = {
    "image": ("glance", ""),
    "compute": ("nova", "/v2.1"),
    "placement": ("placement", ""),
    "network": ("neutron", ""),
}
REGION: Final = "RegionOne"
NAME: Final = "openstack.private.example"  # what the public endpoints are called; nothing resolves it


def free_ports() -> dict[str, int]:
    """Return a free port for each of ``LISTENING``.

    From below the range out of which outgoing connections get theirs: most are listened on only minutes later.
    """
    found: dict[str, int] = {}
    with ExitStack() as held:
        for port in random.sample(range(20_000, 32_000), 200):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found[LISTENING[len(found)]] = port
            if len(found) == len(LISTENING):
                return found
    raise AssertionError("no port is free")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folder and the ports of one cloud."""

    root: Path
    ports: dict[str, int] = field(default_factory=free_ports)

    def own(self, program: str) -> str:
        """Return the URL at which the cloud's own programs reach ``program``."""
        return f"http://127.0.0.1:{self.ports[program]}"

    def public(self, program: str) -> str:
        """Return the URL at which the catalog tells customers to reach ``program``."""
        return f"http://{NAME}:{self.ports[program]}"

    def database(self, name: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"mysql+pymysql://cloud:cloud-words@127.0.0.1:{self.ports['database']}/{name}?charset=utf8"

    @property
    def rabbit(self) -> str:
        """Return the URL of the message bus."""
        return f"rabbit://guest:guest@127.0.0.1:{self.ports['rabbit']}/"

    def folder(self, *names: str) -> Path:
        """Return a folder of the cloud's, made if need be."""
        made = self.root.joinpath(*names)
        made.mkdir(parents=True, exist_ok=True)
        return made
