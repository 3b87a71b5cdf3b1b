"""SIGKILL at every step of a connection and of an order; then a restart, and everything accepted ends, once.

The steps come from the lists the product records by: a step that is added without a case here fails the suite.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from catalog.orders.steps import ORDER_STEPS
from drivers.provisioner.steps import PROVISION_STEPS
from gateway.client.client import Client
from gateway.client.problems import ServerUnreachable
from gateway.connections.steps import CONNECT_STEPS
from tests.support.small_world import PATIENCE_S, SmallWorld, small_world
from tests.support.waiting import wait_until

# What an order must meet so that a step is reached at all; every other step lies on the way of a cold order.
SPECIAL = {
    "order.claimed": "pool",
    "order.retried": "failing",
    "order.cancelled": "cancelled",
    "provision.destroy.begin": "cancelled",
    "provision.destroy.end": "cancelled",
}
CASES = {step: SPECIAL.get(step, "cold") for step in (*ORDER_STEPS, *PROVISION_STEPS)}


@pytest.fixture(scope="module")
def connecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """A world whose platform is enrolled, with standing acceptance, and not yet connected."""
    with small_world(tmp_path_factory.mktemp("connect"), settings='accept = ["*/*"]\n') as world:
        gateway = world.start_gateway()
        world.declare_network()
        world.enrol()
        gateway.stop()
        yield world


@pytest.mark.parametrize("moment", ["begin", "end"])
@pytest.mark.parametrize("step", CONNECT_STEPS)
def test_a_connection_survives_a_kill_at(connecting: SmallWorld, step: str, moment: str) -> None:
    """Killed at this step and started again, the request ends established: one tunnel, three open sessions."""
    world = connecting
    world.stop_gateways()
    dying = world.start_gateway(die_at=f"{step}.{moment}")
    connection = asked(world)
    dying.wait_killed()
    gateway = world.start_gateway()
    world.wait_connection(connection, "established")
    sessions = [each for each in world.admin.connections.sessions(connection) if each["ended_at"] is None]
    assert sorted(each["leg"] for each in sessions) == ["gateway", "target", "transport"]
    assert {offer["state"] for offer in world.admin.offers.list()} == {"offered"}
    world.admin.connections.close(connection)
    gateway.stop()
    # Nothing half built is left at a relay, neither of the dead process nor of this one.
    for relay in world.relays.values():
        relay.wait_connections(0)


def asked(world: SmallWorld) -> str:
    """Request the connection of the platform, whose gateway may die before it can answer, and return its id."""
    try:
        return world.platform.connections.request(idempotency_key=f"ask-{len(world.programs)}")["id"]
    except ServerUnreachable:
        raise AssertionError("the request is accepted before the first step begins") from None


@pytest.fixture(scope="module")
def ordering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SmallWorld, Mapping[str, str], str]]:
    """A connected world with machines on offer, a tenant's token, and the gateway down."""
    with small_world(tmp_path_factory.mktemp("order"), settings='accept = ["*/*"]\n', boot_s=0.4) as world:
        gateway = world.start_gateway()
        world.declare_network()
        world.enrol()
        world.connect()
        wait_until(lambda: world.machine_choice() is not None, "machines are on offer")
        choice = world.machine_choice()
        assert choice is not None
        world.admin.organisations.create(name="acme")
        world.admin.projects.create(organisation="acme", name="shop")
        token = world.admin.tokens.create(role="member", name="acme", project="acme/shop")["token"]
        gateway.stop()
        yield world, choice, token


@pytest.mark.parametrize("step", CASES)
def test_an_order_survives_a_kill_at(ordering: tuple[SmallWorld, Mapping[str, str], str], step: str) -> None:
    """Killed at this step and started again, the order ends, and the cloud made exactly the machines it should."""
    world, choice, token = ordering
    world.stop_gateways()
    case = CASES[step]
    if case == "pool":
        fill_pool(world, choice)
    before = len(world.created())
    # A deadline that is over before the provisioner looks makes the first attempt fail, and a second follow.
    dying = world.start_gateway(die_at=step, build_deadline_s=0.001 if case == "failing" else 900.0)
    key = f"order-{step}"
    started = place(world, choice, token, key, cancel=case == "cancelled")
    dying.wait_killed()
    gateway = world.start_gateway()
    # Whoever got no answer repeats the request, under the same key.
    order = started or client(world, token).orders.create(**choice, idempotency_key=key)["id"]
    if case == "cancelled":
        cancel(world, token, order)
    done = client(world, token).orders.wait(
        order, until=lambda each: each["state"] in {"fulfilled", "failed", "cancelled"}, timeout_s=PATIENCE_S
    )
    assert done["state"] == ("cancelled" if case == "cancelled" else "fulfilled")
    if case == "cancelled":
        wait_until(lambda: alive(world, order) == 0, "what was begun for the cancelled order is destroyed")
    else:
        assert alive(world, order) == 1 or case == "pool"
        assert len(world.created()) == before + (0 if case == "pool" else 1)
    gateway.stop()


def test_every_step_has_a_case() -> None:
    """The cases are the steps the product declares, no more and no less."""
    assert set(CASES) == {*ORDER_STEPS, *PROVISION_STEPS}
    assert set(SPECIAL) <= set(CASES)


def client(world: SmallWorld, token: str) -> Client:
    """Return the tenant's client of whatever gateway runs now."""
    return Client(world.server, token, timeout_s=PATIENCE_S)


def place(world: SmallWorld, choice: Mapping[str, str], token: str, key: str, *, cancel: bool) -> str | None:
    """Order a machine, and cancel it when asked; return the order's id, or None when the gateway died first."""
    tenant = client(world, token)
    try:
        order = tenant.orders.create(**choice, idempotency_key=key)["id"]
    except ServerUnreachable:
        return None
    if cancel:
        try:
            wait_until(lambda: alive(world, order) == 1, "the machine is being built")
            tenant.orders.cancel(order)
        except ServerUnreachable:
            pass
    return order


def cancel(world: SmallWorld, token: str, order: str) -> None:
    """Make sure that the order is cancelled, whether or not the dead gateway had done it."""
    tenant = client(world, token)
    if tenant.orders.get(order)["state"] == "creating":
        tenant.orders.cancel(order)


def alive(world: SmallWorld, order: str) -> int:
    """Return how many machines the cloud's own ledger has, created and not deleted, for the order."""
    made: dict[str, Any] = {}
    for entry in world.cloud.ledger():
        if entry["tags"].get("crossway-order") == order:
            if entry["verb"] == "create":
                made[entry["machine"]] = entry
            else:
                made.pop(entry["machine"], None)
    return len(made)


def fill_pool(world: SmallWorld, choice: Mapping[str, str]) -> None:
    """Have one idle machine in a pool that does not refill, and take the gateway down again."""
    gateway = world.start_gateway()
    pool = world.admin.pools.create(name="ready", **choice, idle_target=1, idle_limit=1, building_limit=1)
    world.admin.pools.wait(pool["id"], until=lambda each: each["census"]["idle"] == 1, timeout_s=PATIENCE_S)
    world.admin.pools.set(pool["id"], enabled=False)
    gateway.stop()
