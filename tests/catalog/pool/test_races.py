"""Claims against claims, and claims against the destruction of what is idle: each machine has one fate.

Where the database admits several writers they run at once, each over a connection of its own, whatever one gateway
does; SQLite has one, so there they queue up in any order.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlmodel import Session, create_engine

from catalog.errors import CatalogError
from catalog.model.ids import MachineId, OrderId
from catalog.model.machine import Machine, MachineState, Pool
from catalog.model.order import Order, OrderState
from catalog.pool.apply import apply
from catalog.pool.manage import create_pool, remove_pool, update_pool
from catalog.store import machines, rows
from catalog.store.database import Tx
from tests.support.ordering import OFFER, PLATFORM, PROJECT, order, seed
from tests.support.stores import Store

T = TypeVar("T")
NOW_S = 1_800_000_000.0
IDLE = 30
WRITERS = 12


@pytest.fixture
def pool(store: Store) -> Pool:
    """Return a pool with idle machines enough for half of those who come."""

    def work(tx: Tx) -> Pool:
        seed(tx)
        terms = {"idle_target": 0, "idle_limit": IDLE}
        made = create_pool(
            tx,
            name="ready",
            offer="north",
            size="small",
            image="debian-12",
            now_s=NOW_S,
            **terms,  # type: ignore[arg-type]
        )
        for number in range(IDLE):
            machine = Machine(
                id=MachineId(f"machine_{number:03}"),
                platform_id=PLATFORM,
                offer_id=OFFER,
                pool_id=made.id,
                state=MachineState.IDLE,
                name=f"m{number}",
                size="s1",
                image="i1",
            )
            rows.insert(tx, machine, NOW_S)
        return made

    return store.write(work)


def at_once(store: Store, works: Sequence[Callable[[Tx], T]]) -> list[T | CatalogError]:
    """Run each of ``works`` in a transaction of its own, all at once, and return what each returned or raised."""
    if store.url.startswith("sqlite"):
        return store.run(_queued(store, works))
    engine = create_engine(
        store.url.replace("postgresql://", "postgresql+psycopg://"), pool_size=WRITERS, max_overflow=0
    )

    def alone(work: Callable[[Tx], T]) -> T | CatalogError:
        with Session(engine, expire_on_commit=False) as tx:
            try:
                result = work(tx)
                tx.commit()
            except CatalogError as error:
                return error
            return result

    try:
        with ThreadPoolExecutor(WRITERS) as threads:
            return list(threads.map(alone, works))
    finally:
        engine.dispose()


async def _queued(store: Store, works: Sequence[Callable[[Tx], T]]) -> list[T | CatalogError]:
    async def one(work: Callable[[Tx], T]) -> T | CatalogError:
        try:
            return await store.database.write(work)
        except CatalogError as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(work)) for work in works]
    return [each.result() for each in tasks]


def claim(tx: Tx, number: int) -> MachineId | None:
    """Claim a machine for an order."""
    wanted = {"size": "s1", "image": "i1", "order": OrderId(f"order_{number}"), "project": PROJECT}
    found = machines.claim_idle(tx, offer=OFFER, now_s=NOW_S, **wanted)  # type: ignore[arg-type]
    return None if found is None else found.id


def test_no_machine_is_claimed_twice_and_none_is_left(store: Store, pool: Pool) -> None:
    """Twice as many claims as machines come at once: each machine goes to one of them, and the others get none."""
    found = at_once(store, [lambda tx, number=number: claim(tx, number) for number in range(2 * IDLE)])  # type: ignore[misc]

    claimed = Counter(each for each in found if each is not None)
    assert claimed == dict.fromkeys((f"machine_{number:03}" for number in range(IDLE)), 1)
    assert found.count(None) == IDLE
    held = store.read(lambda tx: rows.where(tx, Machine, pool_id=pool.id))
    assert {each.fence for each in held} == {1}


def shrink(tx: Tx, pool: Pool) -> None:
    """Let the pool keep nothing idle any more."""
    apply(tx, pool.id, NOW_S)


def remove(tx: Tx, pool: Pool) -> None:
    """Remove the pool."""
    remove_pool(tx, rows.by_id(tx, Pool, pool.id), NOW_S)


@pytest.mark.parametrize("end", [pytest.param(shrink, id="surplus"), pytest.param(remove, id="removed")])
def test_a_machine_is_claimed_or_destroyed_and_never_both(
    store: Store, pool: Pool, end: Callable[[Tx, Pool], None]
) -> None:
    """Orders come while the pool's machines are destroyed: who got one keeps it, the rest is destroyed, none is idle.

    No order fails of it, and neither does the destruction.
    """
    store.write(lambda tx: update_pool(tx, rows.by_id(tx, Pool, pool.id), {"idle_limit": 0}, NOW_S))
    works: list[Callable[[Tx], Order | None]] = [lambda tx: order(tx, None, NOW_S) for _ in range(IDLE // 2)]
    works.insert(IDLE // 4, lambda tx: end(tx, pool))  # type: ignore[arg-type, return-value]
    ended = at_once(store, works)
    if end is shrink:
        store.write(lambda tx: apply(tx, pool.id, NOW_S))  # one claim's own look may have come first

    assert not [each for each in ended if isinstance(each, Exception)]
    placed = [each for each in ended if each is not None]
    from_pool = [each.machine_id for each in placed if isinstance(each, Order) and each.served_from == "pool"]
    assert len(from_pool) == len(set(from_pool))
    held = {each.id: each for each in store.read(lambda tx: rows.where(tx, Machine)) if each.name.startswith("m")}
    assert {held[str(each)].state for each in from_pool} <= {MachineState.IN_USE}  # type: ignore[index]
    others = [each.state for key, each in held.items() if key not in from_pool]
    assert set(others) <= {MachineState.DESTROYING}
    assert len(others) == IDLE - len(from_pool)
    states = {each.state for each in placed if isinstance(each, Order)}
    assert states <= {OrderState.FULFILLED, OrderState.CREATING}
