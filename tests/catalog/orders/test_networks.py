"""Networks of orders: named or the only one that is granted, wherever a machine is asked for."""

from typing import Any

import pytest

from catalog import grant_end
from catalog.errors import Denied, InvalidValue
from catalog.messages.contracts import CreateMachine, from_json
from catalog.model.consent import Grant
from catalog.model.ids import MachineId
from catalog.model.machine import Machine, MachineState, Pool
from catalog.model.offering import InventoryItem
from catalog.model.order import Order, OrderState
from catalog.orders.retry import retry_due
from catalog.pool.apply import apply
from catalog.pool.manage import create_pool
from catalog.store import outbox, rows
from catalog.store.database import Tx
from tests.support.ordering import OFFER, PLATFORM, RETRY, order, seed
from tests.support.stores import Store


@pytest.fixture
def networked(store: Store) -> Store:
    """Return a store with a platform that has three networks, all of which are granted."""

    def work(tx: Tx) -> None:
        seed(tx, now_s=store.now_s)
        for cloud_id, name in (("n1", "lan-a"), ("n2", "lan-b"), ("n3", "other")):
            item = InventoryItem(platform_id=PLATFORM, kind="network", cloud_id=cloud_id, name=name)
            rows.insert(tx, item, store.now_s)

    store.write(work)
    return store


def granted(store: Store, *networks: str) -> None:
    """Let the grant of machines have these patterns of networks, none for any."""
    scope = {"networks": list(networks)} if networks else {}
    store.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"scope": scope}, store.now_s))


def placed(store: Store, network: str | None = None) -> Order:
    """Place an order."""
    return store.write(lambda tx: order(tx, None, store.now_s, network=network))


def asked(store: Store) -> list[str | None]:
    """Return the networks of the machines that the provisioner was asked to create, oldest first."""
    told = [from_json(each.body) for each in store.read(lambda tx: outbox.unsent(tx, 100))]
    return [each.network for each in told if isinstance(each, CreateMachine)]


@pytest.mark.parametrize(
    ("scope", "named", "network"),
    [
        pytest.param((), None, None, id="any: the cloud chooses"),
        pytest.param((), "lan-b", "n2", id="any: named by its name"),
        pytest.param((), "n3", "n3", id="any: named by its id"),
        pytest.param(("lan-a",), None, "n1", id="one: that one"),
        pytest.param(("n2",), None, "n2", id="one by its id: that one"),
        pytest.param(("lan-*",), "lan-b", "n2", id="some: named"),
    ],
)
def test_the_network_reaches_the_provisioner(
    networked: Store, scope: tuple[str, ...], named: str | None, network: str | None
) -> None:
    """Kept on order and machine, for further attempts, and said in the message."""
    granted(networked, *scope)
    order_ = placed(networked, named)
    machine = networked.read(lambda tx: rows.by_id(tx, Machine, str(order_.machine_id)))
    assert (order_.network, machine.network, asked(networked)) == (network, network, [network])


@pytest.mark.parametrize(
    ("scope", "named", "error"),
    [
        pytest.param(("lan-*",), None, Denied, id="some, and none named"),
        pytest.param(("lan-*",), "other", Denied, id="some, and another named"),
        pytest.param(("lan-z",), None, Denied, id="one that is not there"),
        pytest.param((), "unheard-of", InvalidValue, id="unknown"),
    ],
)
def test_what_is_not_granted_is_refused(
    networked: Store, scope: tuple[str, ...], named: str | None, error: type[Denied | InvalidValue]
) -> None:
    """With the order's field; where some are granted the cloud is never left to choose."""
    granted(networked, *scope)
    with pytest.raises(error) as refused:
        placed(networked, named)
    assert refused.value.field == "network"
    assert asked(networked) == []


def test_a_pool_keeps_to_the_networks_that_are_granted(networked: Store) -> None:
    """One: its machines are attached to it. Several: it makes none and says why, because nobody named one."""

    def make(tx: Tx) -> Pool:
        return create_pool(tx, name="warm", offer="north", size="small", image="debian-12", now_s=networked.now_s)

    granted(networked, "lan-*")
    pool = networked.write(make)
    networked.write(lambda tx: apply(tx, pool.id, networked.now_s))
    assert asked(networked) == []
    assert "network" in networked.read(lambda tx: rows.by_id(tx, Pool, pool.id)).reason
    granted(networked, "lan-b")
    networked.write(lambda tx: apply(tx, pool.id, networked.now_s))
    assert asked(networked) == ["n2"]


@pytest.mark.parametrize(("idle_in", "served"), [(None, "cold"), ("n1", "cold"), ("n2", "pool")])
def test_an_idle_machine_is_handed_out_in_its_own_network_alone(
    networked: Store, idle_in: str | None, served: str
) -> None:
    """Whether an order names its network, or has it by the scope."""
    idle = Machine(
        id=MachineId("machine_idle"), platform_id=PLATFORM, offer_id=OFFER, name="idle", size="s1", image="i1",
        state=MachineState.IDLE, cloud_id="vm-1", network=idle_in,
    )  # fmt: skip
    networked.write(lambda tx: rows.insert(tx, idle, networked.now_s))
    granted(networked, "lan-b")
    assert placed(networked).served_from == served


def failed_once(store: Store, order_: Order) -> None:
    """Have the order wait for its next attempt."""
    store.write(lambda tx: rows.update(tx, rows.by_id(tx, Order, order_.id), {"next_attempt_at_s": 1.0}, store.now_s))


@pytest.mark.parametrize(("scope", "state"), [("lan-b", OrderState.CREATING), ("lan-a", OrderState.FAILED)])
def test_a_retry_keeps_to_the_networks_that_are_granted_by_then(
    networked: Store, scope: str, state: OrderState
) -> None:
    """It is tried again in its own network, or ends with the reason: it is not moved to another."""
    order_ = placed(networked, "lan-b")
    failed_once(networked, order_)
    granted(networked, scope)
    networked.write(lambda tx: retry_due(tx, networked.now_s, RETRY))
    after = networked.read(lambda tx: rows.by_id(tx, Order, order_.id))
    assert after.state is state
    assert asked(networked) == ["n2"] * (2 if state is OrderState.CREATING else 1)


@pytest.mark.parametrize(("named", "left"), [("lan-a", MachineState.BUILDING), (None, MachineState.DESTROYING)])
def test_narrowing_ends_what_is_begun_outside(networked: Store, named: str | None, left: MachineState) -> None:
    """A creation in a granted network goes on; one that the cloud was left to choose for does not."""
    order_ = placed(networked, named)

    def narrow(tx: Tx) -> Any:
        grant = rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"scope": {"networks": ["lan-a"]}}, networked.now_s)
        grant_end.stop_outside(tx, grant, networked.now_s)
        return rows.by_id(tx, Machine, str(order_.machine_id)).state

    assert networked.write(narrow) is left
