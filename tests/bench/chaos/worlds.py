"""A gateway with machines on offer at a cloud that answers in 5 to 30 ms, and a tenant who may order."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.chaos.traffic import Traffic
from tests.support.small_world import SmallWorld, small_world
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

# Of six calls one takes 5 ms, two take 30 ms and three take 15 ms.
SLOW: Final[Sequence[Mapping[str, Any]]] = (
    {"match": "*", "kind": "latency", "delay_s": 0.030, "every": 3},
    {"match": "*", "kind": "latency", "delay_s": 0.005, "every": 4},
    {"match": "*", "kind": "latency", "delay_s": 0.015},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderingWorld:
    """The world, and its tenant's traffic."""

    world: SmallWorld
    traffic: Traffic


@contextmanager
def ordering_world(
    folder: Path,
    *,
    settings: str = "",
    environment: Mapping[str, str] | None = None,
    program: Path | None = None,
    build_deadline_s: float = 900.0,
) -> Iterator[OrderingWorld]:
    """Run it until the block ends; ``settings`` are sections of a gateway's, ``environment`` goes to its processes."""
    os.environ.update({"CROSSWAY_LOG__LEVEL": "WARNING", **(environment or {})})  # a benchmark's process is its own
    with (
        small_world(folder, settings=f'accept = ["*/*"]\n{settings}', boot_s=0.0) as world,
    ):
        world.listen = f"127.0.0.1:{free_port()}"
        world.program = program or world.program
        world.start_gateway(build_deadline_s=build_deadline_s)
        world.declare_network()
        world.enrol()
        world.connect()
        wait_until(lambda: world.machine_choice() is not None, "machines are on offer")
        choice = world.machine_choice()
        assert choice is not None
        world.admin.organisations.create(name="acme")
        world.admin.projects.create(organisation="acme", name="shop")
        token = world.admin.tokens.create(role="member", name="acme", project="acme/shop")["token"]
        world.cloud.faults(*map(dict, SLOW))
        yield OrderingWorld(world=world, traffic=Traffic(url=world.server, token=token, choice=choice))
