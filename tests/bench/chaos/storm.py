"""Kill what serves orders, again and again, while tenants order; whatever is down is started again at once.

What is killed is a list: a further application, or a further server, is a further ``Victim``.
"""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.chaos.traffic import Traffic
from tests.support.postgresql import PostgresqlServer
from tests.support.rabbitmq import RabbitmqServer
from tests.support.small_world import PATIENCE_S, Program, SmallWorld
from tests.support.waiting import until

_LOOK_S: Final = 0.2
# What it needs may be away just now; it is started again, as a supervisor does.
_DOES_NOT_START: Final = (RuntimeError, AssertionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """What dies ``kills`` times, by SIGKILL, evenly over the traffic. Killing and starting block."""

    name: str
    kills: int
    is_up: Callable[[], bool]
    kill: Callable[[], None]
    start: Callable[[], object]


def order_application(world: SmallWorld, kills: int, build_deadline_s: float) -> Victim:
    """Return the gateway, which takes orders."""

    def is_up() -> bool:
        return world.gateway is not None and world.gateway.process.poll() is None

    def kill() -> None:
        assert world.gateway is not None
        _kill(world.gateway)

    def start() -> None:
        world.start_gateway(build_deadline_s=build_deadline_s)

    return Victim(name="gateway", kills=kills, is_up=is_up, kill=kill, start=start)


def provisioner(world: SmallWorld, kills: int, settings: str) -> Victim:
    """Return the provisioner in its own process, which makes machines; the storm begins by starting it."""

    def last() -> Program | None:
        return next((each for each in reversed(world.programs) if each.log_file.stem == "provisioner"), None)

    def is_up() -> bool:
        program = last()
        return program is not None and program.process.poll() is None

    def kill() -> None:
        program = last()
        assert program is not None
        _kill(program)

    def start() -> None:
        world.start_provisioner(settings=settings)

    return Victim(name="provisioner", kills=kills, is_up=is_up, kill=kill, start=start)


def broker(server: RabbitmqServer, kills: int) -> Victim:
    """Return the message queue."""
    return Victim(name="rabbitmq", kills=kills, is_up=lambda: server.is_up, kill=server.kill, start=server.start)


def database(server: PostgresqlServer, kills: int) -> Victim:
    """Return the database."""

    def kill() -> None:
        server.stop(signal.SIGKILL)

    return Victim(name="postgresql", kills=kills, is_up=lambda: server.is_up, kill=kill, start=server.start)


async def storm(
    traffic: Traffic, orders: int, victims: Sequence[Victim], *, under_way: int, within_s: float
) -> Counter[str]:
    """Order while ``victims`` die, each at its own share of the orders; return how often each was killed.

    Raises TimeoutError when the orders have not ended by then.
    """
    killed: Counter[str] = Counter()
    async with asyncio.TaskGroup() as keepers:
        keeping = [keepers.create_task(_kept_up(victim)) for victim in victims]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.flow(orders, under_way=under_way, within_s=within_s))
            for victim in victims:
                tasks.create_task(_dies(victim, traffic, orders, killed))
        await until(lambda: all(victim.is_up() for victim in victims))
        for each in keeping:
            each.cancel()
    return killed


def _kill(program: Program) -> None:
    os.kill(program.process.pid, signal.SIGKILL)
    program.process.wait(PATIENCE_S)


async def _dies(victim: Victim, traffic: Traffic, orders: int, killed: Counter[str]) -> None:
    for number in range(victim.kills):
        await traffic.until_ended(orders * (number + 0.5) / victim.kills)
        await until(victim.is_up)
        await asyncio.to_thread(victim.kill)
        killed[victim.name] += 1


async def _kept_up(victim: Victim) -> None:
    """Start it whenever it is down, until cancelled."""
    while True:
        if not victim.is_up():
            with contextlib.suppress(*_DOES_NOT_START):
                await asyncio.to_thread(victim.start)
        await asyncio.sleep(_LOOK_S)
