"""Two `crossway provision` share their records in PostgreSQL, each application as a role of its own."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgresql import ADMIN, PostgresqlServer
from tests.support.rabbitmq import RabbitmqServer
from tests.support.small_world import PATIENCE_S, SmallWorld, small_world
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

ROLES = Path(__file__).parents[2] / "config" / "roles.sql"
ENDED = {"fulfilled", "failed"}
# So short that a dead provisioner's leases are over within eleven seconds.
SHORT = "[clouds]\ncall_timeout_s = 0.5\n"


@pytest.fixture(scope="module")
def shared(
    postgresql_server: PostgresqlServer, rabbitmq_server: RabbitmqServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SmallWorld, str]]:
    """A connected world with machines on offer, its facts and records in one database, and provisioners' settings."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgresql_server.fresh())
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(ROLES.read_bytes())
        facts, records = (url.replace(f"//{ADMIN}@", f"//{role}@") for role in ("crossway", "crossway_provisioner"))
        settings = f'{SHORT}[queue]\nurl = "{rabbitmq_server.url}"\n[provision]\nlisten = "127.0.0.1:{free_port()}"\n'
        gateway_s = f'accept = ["*/*"]\n[database]\nurl = "{facts}"\n{settings}'
        world = stack.enter_context(small_world(tmp_path_factory.mktemp("world"), settings=gateway_s, boot_s=0.4))
        world.start_gateway()
        world.declare_network()
        world.enrol()
        world.connect()
        wait_until(lambda: world.machine_choice() is not None, "machines are on offer")
        yield world, f'{settings}database_url = "{records}"\n'


def made_for(world: SmallWorld, orders: list[str]) -> list[str]:
    """Return which of ``orders`` each machine was made for, as the cloud's own ledger has it."""
    made = [entry["tags"]["crossway-order"] for entry in world.cloud.ledger() if entry["verb"] == "create"]
    return sorted(order for order in made if order in orders)


def test_one_machine_comes_of_each_order_while_two_provisioners_are_up(shared: tuple[SmallWorld, str]) -> None:
    """Twenty orders at once, while two provisioners are up: each has one machine."""
    world, settings = shared
    tenant, choice = world.tenant("many"), world.machine_choice()
    assert choice is not None
    provisioners = [world.start_provisioner(settings=settings, name=f"provisioner-{each}") for each in "ab"]
    orders = [tenant.orders.create(**choice)["id"] for _ in range(20)]
    for order in orders:
        done = tenant.orders.wait(order, until=lambda each: each["state"] in ENDED, timeout_s=2 * PATIENCE_S)
        assert done["state"] == "fulfilled", done
    assert made_for(world, orders) == sorted(orders)
    assert [each.stop() for each in provisioners] == [0, 0]


def test_what_a_killed_provisioner_was_in_the_middle_of_the_other_takes_up(shared: tuple[SmallWorld, str]) -> None:
    """Whichever takes the order dies right after the creation; the other, up all the while, adopts what was made."""
    world, settings = shared
    tenant, choice = world.tenant("taken-up"), world.machine_choice()
    assert choice is not None
    # The one that adopts creates nothing, and so never comes to the step at which both would die.
    provisioners = [
        world.start_provisioner("provision.create.end", settings=settings, name=f"provisioner-{each}") for each in "ab"
    ]
    order = tenant.orders.create(**choice)["id"]
    done = tenant.orders.wait(order, until=lambda each: each["state"] in ENDED, timeout_s=2 * PATIENCE_S)
    assert (done["state"], done["attempts"]) == ("fulfilled", 1), done
    assert made_for(world, [order]) == [order]
    died = [each for each in provisioners if each.process.poll() == -signal.SIGKILL]
    assert len(died) == 1
    (left,) = [each for each in provisioners if each not in died]
    assert left.stop() == 0
