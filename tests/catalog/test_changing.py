"""A machine becomes another: what grant, quotas and budgets say of it, and how it is taken back."""

from typing import Any

import pytest

from catalog import changing, quotas
from catalog.costs import budgets
from catalog.errors import BudgetExceeded, CatalogError, Denied, InvalidValue, QuotaExceeded, WrongState
from catalog.holders import holder
from catalog.model.consent import Grant
from catalog.model.ids import MachineId
from catalog.model.machine import Custody, Machine
from catalog.model.offering import InventoryItem
from catalog.orders.policy import RetryPolicy
from catalog.orders.settle import settle
from catalog.pool.give_back import destroy
from catalog.prices import book, lines
from catalog.store import costs, rows
from catalog.store.database import Tx
from tests.catalog.orders.test_settle import created
from tests.support.ordering import PROJECT, order, seed
from tests.support.stores import Store

VERBS = ["create", "list", "destroy", "rebuild", "resize", "rename", "console", "adopt"]
PRICES = "provider,item,unit,amount,currency,source\nmemory,s1,hour,0.02,EUR,list\nmemory,s2,hour,5,EUR,list\n"


@pytest.fixture
def world(store: Store) -> Store:
    """Return a database with one machine of size s1 in use, sizes of 1 and 4 vCPU, and a grant of every verb."""

    def work(tx: Tx) -> None:
        now_s = store.now_s
        seed(tx)
        rows.update(tx, rows.by_id(tx, Grant, "grant_M"), {"verbs": VERBS}, now_s)
        for size, vcpu in (("s1", 1.0), ("s2", 4.0)):
            (item,) = rows.where(tx, InventoryItem, kind="size", cloud_id=size)
            rows.update(tx, item, {"vcpu": vcpu, "memory_gib": vcpu}, now_s)
        rows.insert(tx, InventoryItem(platform_id=item.platform_id, kind="image", cloud_id="i2", name="web"), now_s)
        book.import_lines(tx, lines.read(PRICES, lines.ListFormat.CSV, source="", now_s=now_s), now_s)
        settle(tx, created(order(tx, "shop", now_s).machine_id), now_s, RetryPolicy())

    store.write(work)
    return store


def machine(tx: Tx) -> Machine:
    """Return the one there is."""
    return rows.where(tx, Machine)[0]


def refused(store: Store, deed: Any) -> CatalogError:
    """Return what ``deed`` of the machine is refused with; nothing of it stays."""
    before = store.read(machine).version
    with pytest.raises(CatalogError) as caught:
        store.write(lambda tx: deed(tx, machine(tx)))
    assert store.read(machine).version == before
    return caught.value


def test_a_resized_machine_counts_and_costs_as_what_it_is(world: Store) -> None:
    """Size, weight and price are the new one's at once; taken back, they are the old one's."""
    change = world.write(lambda tx: changing.resize(tx, machine(tx), "large", world.now_s))
    now = world.read(machine)
    assert (now.size, now.vcpu, now.memory_mib) == ("s2", 4.0, 4096)
    [use] = world.read(lambda tx: costs.uses(tx, [PROJECT], 0.0, world.now_s + 1))
    assert use.price is not None
    assert use.price["amount"] == "5"
    world.write(lambda tx: changing.take_back(tx, change, world.now_s))
    back = world.read(machine)
    assert (back.size, back.vcpu, back.memory_mib, back.price) == ("s1", 1.0, 1024, None)
    assert back.changing is None


def test_what_was_wanted_since_is_neither_taken_back_nor_done(world: Store) -> None:
    """An answer that comes late ends its own change and no later one; a clear no goes back to before the first."""
    first, second = (
        world.write(lambda tx, name=name: changing.rename(tx, machine(tx), name, world.now_s))  # type: ignore[misc]
        for name in ("first", "second")
    )
    before = world.read(machine)
    for ending in (changing.take_back, changing.done):
        world.write(lambda tx, ending=ending: ending(tx, first, world.now_s))  # type: ignore[misc]
        assert world.read(machine) == before
    world.write(lambda tx: changing.take_back(tx, second, world.now_s))
    assert world.read(machine).name.startswith("shop-")


def test_one_thing_at_a_time_is_asked_of_a_machine_s_cloud(world: Store) -> None:
    """While a resize is not known to be done nothing but that may be asked for; once it is, anything."""
    change = world.write(lambda tx: changing.resize(tx, machine(tx), "s2", world.now_s))
    assert isinstance(refused(world, lambda tx, held: changing.rename(tx, held, "web", world.now_s)), WrongState)
    world.write(lambda tx: changing.done(tx, change, world.now_s))
    assert world.write(lambda tx: changing.rename(tx, machine(tx), "web", world.now_s)).deed == "rename"


def test_what_nobody_waits_for_is_left_alone_for_a_while_first(world: Store) -> None:
    """Two minutes after it was asked for, and not once it is done."""
    change = world.write(lambda tx: changing.resize(tx, machine(tx), "s2", world.now_s))
    for after_s, count in ((changing.LEFT_ALONE_S - 1, 0), (changing.LEFT_ALONE_S, 1)):
        found = world.read(lambda tx, after_s=after_s: changing.left_alone(tx, world.now_s + after_s))  # type: ignore[misc]
        assert len(found) == count
    world.write(lambda tx: changing.done(tx, change, world.now_s))
    assert world.read(lambda tx: changing.left_alone(tx, world.now_s + 1_000_000)) == []


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        pytest.param({"verbs": ["create", "list"]}, Denied, id="not granted"),
        pytest.param({"scope": {"sizes": ["s1"]}}, Denied, id="a size outside of the grant"),
        pytest.param({"cores": 3}, QuotaExceeded, id="more cores than the grant has"),
        pytest.param({"memory_gib": 3}, QuotaExceeded, id="more memory than the grant has"),
    ],
)
def test_a_resize_keeps_to_the_grant(world: Store, terms: dict[str, Any], error: type[CatalogError]) -> None:
    """Its verb, its scope and its quotas."""
    world.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), terms, world.now_s))
    assert type(refused(world, lambda tx, held: changing.resize(tx, held, "s2", world.now_s))) is error


def test_a_resize_keeps_to_quotas_and_budgets_of_its_project(world: Store) -> None:
    """4 vCPU do not fit into 3, nor 5 EUR an hour into 10 a month."""

    def limits(tx: Tx) -> None:
        quotas.change(tx, holder(tx, PROJECT), {"cores": 3}, world.now_s)

    world.write(limits)
    assert isinstance(refused(world, lambda tx, held: changing.resize(tx, held, "s2", world.now_s)), QuotaExceeded)
    world.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"cores": None}, world.now_s))
    spent = {"amount": "10", "currency": "EUR", "stops_orders": True}
    world.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), spent, world.now_s))
    assert isinstance(refused(world, lambda tx, held: changing.resize(tx, held, "s2", world.now_s)), BudgetExceeded)


def test_a_size_that_costs_less_needs_no_money(world: Store) -> None:
    """A project over its budget gets out of it by a smaller machine; what nobody knows the price of is no way out."""
    world.write(lambda tx: changing.done(tx, changing.resize(tx, machine(tx), "s2", world.now_s), world.now_s))
    spent = {"amount": "10", "currency": "EUR", "stops_orders": True}
    world.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), spent, world.now_s))
    unpriced = InventoryItem(platform_id=world.read(machine).platform_id, kind="size", cloud_id="s3", name="other")
    world.write(lambda tx: rows.insert(tx, unpriced, world.now_s))
    assert isinstance(refused(world, lambda tx, held: changing.resize(tx, held, "s3", world.now_s)), BudgetExceeded)
    assert world.write(lambda tx: changing.resize(tx, machine(tx), "s1", world.now_s)).after["size"] == "s1"


def test_a_size_without_a_price_does_not_cost_what_was_ordered(world: Store) -> None:
    """Nobody knows what it costs, so that a budget has no room for it."""
    spent = {"amount": "1000", "currency": "EUR", "stops_orders": True}
    world.write(lambda tx: budgets.change(tx, holder(tx, PROJECT), spent, world.now_s))
    unpriced = InventoryItem(platform_id=world.read(machine).platform_id, kind="size", cloud_id="s3", name="other")
    world.write(lambda tx: rows.insert(tx, unpriced, world.now_s))
    assert isinstance(refused(world, lambda tx, held: changing.resize(tx, held, "s3", world.now_s)), BudgetExceeded)


def test_a_machine_that_shrinks_needs_no_room(world: Store) -> None:
    """Over its quota by now, it may still become smaller: that is the way out."""
    world.write(lambda tx: changing.resize(tx, machine(tx), "s2", world.now_s))
    world.write(lambda tx: quotas.change(tx, holder(tx, PROJECT), {"machines": 0}, world.now_s))
    assert world.write(lambda tx: changing.resize(tx, machine(tx), "s1", world.now_s)).after["size"] == "s1"


def test_a_rebuild_takes_an_image_of_the_grant(world: Store) -> None:
    """By its own image unless another is named; one that is not there, or not granted, is refused by name."""
    assert world.write(lambda tx: changing.rebuild(tx, machine(tx), None, world.now_s)).after == {"image": "i1"}
    assert world.write(lambda tx: changing.rebuild(tx, machine(tx), "web", world.now_s)).after == {"image": "i2"}
    unknown = refused(world, lambda tx, held: changing.rebuild(tx, held, "debian-99", world.now_s))
    assert (type(unknown), unknown.field) == (InvalidValue, "image")
    scope = {"scope": {"images": ["i1"]}}
    world.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), scope, world.now_s))
    assert isinstance(refused(world, lambda tx, held: changing.rebuild(tx, held, None, world.now_s)), Denied)


def test_a_renamed_machine_keeps_a_name_of_its_own(world: Store) -> None:
    """Two machines of one wanted name differ at their cloud; what no cloud takes as a name is refused."""
    held = world.read(machine)
    renamed = world.write(lambda tx: changing.rename(tx, machine(tx), "web", world.now_s))
    assert renamed.after["name"] == f"web-{held.name.rpartition('-')[2]}"
    assert isinstance(refused(world, lambda tx, held: changing.rename(tx, held, "Web_1", world.now_s)), InvalidValue)


@pytest.mark.parametrize("custody", [Custody.OBSERVED, Custody.MANAGED])
def test_an_imported_machine_is_changed_only_while_it_may_be_steered(world: Store, custody: Custody) -> None:
    """Observed: nothing. Managed: while the owner grants to adopt; it is called just as it is named."""
    world.write(lambda tx: rows.update(tx, machine(tx), {"custody": custody.value}, world.now_s))
    deeds: dict[str, Any] = {
        "rename": lambda tx, held: changing.rename(tx, held, "web", world.now_s),
        "console": lambda tx, held: changing.refuse_console(tx, held, world.now_s),
    }
    if custody is Custody.MANAGED:
        world.write(lambda tx: changing.done(tx, deeds["rename"](tx, machine(tx)), world.now_s))
        assert world.read(machine).name == "web"
        verbs = {"verbs": [verb for verb in VERBS if verb != "adopt"]}
        world.write(lambda tx: rows.update(tx, rows.by_id(tx, Grant, "grant_M"), verbs, world.now_s))
    for deed in deeds.values():
        assert isinstance(refused(world, deed), Denied)


def test_only_a_machine_in_use_is_changed(world: Store) -> None:
    """Not one that is being destroyed."""
    world.write(lambda tx: destroy(tx, MachineId(machine(tx).id), PROJECT, world.now_s))
    assert isinstance(refused(world, lambda tx, held: changing.resize(tx, held, "s2", world.now_s)), WrongState)
