"""Orders, queue and provisioner put together over files and an in-memory cloud, driven step by step.

``life`` is one process's life: fresh objects on the same files. ``settled`` does all due work, letting the clock
jump when there is none, until everything that was asked has come to its end.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from catalog import tenancy
from catalog.assets import retry as assets
from catalog.messages.contracts import TO_ORDERS, TO_PROVISIONER
from catalog.messages.dispatch import dispatch_outbox
from catalog.messages.in_database import InDatabaseQueue
from catalog.messages.queue import QueuePolicy
from catalog.model.asset import Asset, AssetState
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import (
    ConnectionId,
    EntryId,
    GrantId,
    OfferId,
    OrganisationId,
    PlatformId,
    ProjectId,
    SiteId,
)
from catalog.model.machine import Machine, MachineState, Pool
from catalog.model.network import Site
from catalog.model.offering import CatalogEntry, InventoryItem, Offer
from catalog.model.order import Order, OrderState
from catalog.model.platform import Platform
from catalog.model.tenancy import Organisation, Project
from catalog.orders.place import place
from catalog.orders.policy import RetryPolicy
from catalog.orders.retry import retry_due
from catalog.orders.settle import Settler
from catalog.orders.steps import UNWATCHED
from catalog.pool.apply import apply_all
from catalog.ports import Checkpoint
from catalog.store import machines, outbox, rows
from catalog.store.database import Database
from drivers.provisioner.journal import ProvisionPolicy
from drivers.provisioner.records import SqliteRecords, SqlRecords
from drivers.provisioner.run import Provisioner
from tests.support.clocks import ManualClock
from tests.support.doubles import KillingCheckpoint, MemoryCloud, MemoryClouds
from tests.support.records import Place

PLATFORM = PlatformId("platform_P")
OFFER = OfferId("offer_P")
PROJECT = ProjectId("project_T")
OTHER_PROJECT = ProjectId("project_U")
OWNER = "gateway-under-test"
RETRY = RetryPolicy(attempts_limit=3, first_pause_s=2, longest_pause_s=60, creation_deadline_s=300)
JUMP_S = 15.0
_ROUNDS = 400


def seed(tx: Session, *, quota: int | None = None, now_s: float = 1.0) -> None:
    """Write what an order needs to exist: two rivals, a platform that grants machines, a size and an image."""
    for project in (PROJECT, OTHER_PROJECT):
        owner = OrganisationId(f"organisation_{project}")
        rows.insert(tx, Organisation(id=owner, name=f"owner-of-{project}"), now_s)
        rows.insert(tx, Project(id=project, organisation_id=owner, name="shop"), now_s)
    rows.insert(tx, Site(id=SiteId("site_S"), name="here"), now_s)
    rows.insert(
        tx, Platform(id=PLATFORM, name="north", provider="memory", site_id=SiteId("site_S"), account="main"), now_s
    )
    connection = ConnectionId("connection_C")
    rows.insert(
        tx,
        Connection(id=connection, requester_id=PLATFORM, target_id=PLATFORM, state=ConnectionState.ESTABLISHED),
        now_s,
    )
    grant = Grant(
        id=GrantId("grant_M"),
        platform_id=PLATFORM,
        connection_id=connection,
        request_id="grant_M",
        capability="machine",
        verbs=["create", "list", "destroy"],
        quota=quota,
        state=GrantState.ACCEPTED,
    )
    rows.insert(tx, grant, now_s)
    rows.insert(tx, CatalogEntry(id=EntryId("entry_M"), capability="machine", title="Machines"), now_s)
    rows.insert(tx, Offer(id=OFFER, entry_id=EntryId("entry_M"), platform_id=PLATFORM, grant_id=grant.id), now_s)
    for kind, cloud_id, name in (("size", "s1", "small"), ("size", "s2", "large"), ("image", "i1", "debian-12")):
        rows.insert(tx, InventoryItem(platform_id=PLATFORM, kind=kind, cloud_id=cloud_id, name=name), now_s)


def a_project(tx: Session, now_s: float, *, organisation: str = "acme", name: str = "shop") -> Project:
    """Return a new project of a new organisation."""
    tenancy.create_organisation(tx, name=organisation, now_s=now_s)
    return tenancy.create_project(tx, organisation=organisation, name=name, now_s=now_s)


def order(
    tx: Session,
    name: str | None,
    now_s: float,
    *,
    project: ProjectId = PROJECT,
    size: str = "small",
    location: str | None = None,
    key_pair: str | None = None,
    network: str | None = None,
    lease_s: float | None = None,
    checkpoint: Checkpoint = UNWATCHED,
) -> Order:
    """Place an ordinary order."""
    return place(
        tx,
        project_id=project,
        offer="north",
        size=size,
        image="debian-12",
        name=name,
        location=location,
        key_pair=key_pair,
        network=network,
        lease_s=lease_s,
        now_s=now_s,
        policy=RETRY,
        checkpoint=checkpoint,
    )


@asynccontextmanager
async def seeded_database(folder: Path, clock: ManualClock, *, quota: int | None = None) -> AsyncIterator[Database]:
    """Open the database in ``folder``, seeded if it is new."""
    async with Database.open(f"sqlite:///{folder}/crossway.sqlite3", clock=clock) as database:
        if await database.read(lambda tx: rows.find(tx, Platform, PLATFORM)) is None:
            await database.write(lambda tx: seed(tx, quota=quota))
        yield database


@dataclass
class Life:
    """One process: both applications over the queue."""

    database: Database
    records: SqlRecords
    queue: InDatabaseQueue
    provisioner: Provisioner
    settler: Settler
    clock: ManualClock
    checkpoint: KillingCheckpoint

    async def all_due(self) -> int:
        """Do everything that is due now and return how much that was."""
        done = await dispatch_outbox(self.database, self.queue, self.clock, self.checkpoint)
        while await self.queue.deliver_one(TO_PROVISIONER, self.provisioner.receive):
            done += 1
        while await self.provisioner.work_one():
            done += 1
        done += await self.provisioner.publish_results()
        while await self.queue.deliver_one(TO_ORDERS, self.settler.receive):
            done += 1
        now_s = self.clock.now_s()
        return done + await self.database.write(
            lambda tx: (
                retry_due(tx, now_s, RETRY, checkpoint=self.checkpoint)
                + assets.retry_due(tx, now_s, RETRY)
                + apply_all(tx, now_s, RETRY)
            )
        )

    async def settled(self) -> None:
        """Work, and let time jump, until every order has ended and every machine is where it stays."""
        await self.until(_at_rest)

    async def until(self, reached: Callable[[Session], bool]) -> None:
        """Work, and let time jump, until ``reached`` holds when nothing more is due."""
        for _ in range(_ROUNDS):
            if await self.all_due():
                continue
            if await self.database.read(reached):
                return
            self.clock.advance(JUMP_S)
        raise AssertionError(f"not reached within {_ROUNDS * JUMP_S:.0f} s of the clock")

    async def let_pass(self, seconds: float) -> None:
        """Work while ``seconds`` pass, looking every minute."""
        end_s = self.clock.now_s() + seconds
        while self.clock.now_s() < end_s:
            while await self.all_due():
                pass
            self.clock.advance(60.0)

    async def place(self, name: str | None = None, *, project: ProjectId = PROJECT, size: str = "small") -> Order:
        """Place an order in a transaction of its own."""
        now_s = self.clock.now_s()
        return await self.database.write(
            lambda tx: order(tx, name, now_s, project=project, size=size, checkpoint=self.checkpoint)
        )

    async def orders(self) -> dict[str, Order]:
        """Return every order by name."""
        return {each.name: each for each in await self.database.read(lambda tx: rows.where(tx, Order))}

    async def machines(self, *states: MachineState) -> list[Machine]:
        """Return every machine in one of ``states`` (none given: all)."""
        found = await self.database.read(lambda tx: rows.where(tx, Machine))
        return [each for each in found if not states or each.state in states]


@asynccontextmanager
async def life(
    folder: Path,
    clock: ManualClock,
    cloud: MemoryCloud,
    *,
    checkpoint: KillingCheckpoint | None = None,
    quota: int | None = None,
    policy: ProvisionPolicy | None = None,
    place: Place | None = None,
) -> AsyncIterator[Life]:
    """Start both applications with fresh objects on the files of ``folder``, or the provisioner's at ``place``."""
    watched = checkpoint or KillingCheckpoint()
    async with (
        seeded_database(folder, clock, quota=quota) as database,
        place.open() if place else SqliteRecords.open(folder / "provisioner.sqlite3") as records,
    ):
        queue = InDatabaseQueue(database, clock, QueuePolicy())
        await queue.prepare()
        provisioner = Provisioner(
            queue=queue,
            clouds=MemoryClouds({PLATFORM: cloud}),
            records=records,
            clock=clock,
            checkpoint=watched,
            owner=OWNER,
            policy=policy,
        )
        settler = Settler(database, clock, RETRY, watched)
        yield Life(
            database=database,
            records=records,
            queue=queue,
            provisioner=provisioner,
            settler=settler,
            clock=clock,
            checkpoint=watched,
        )


def _at_rest(tx: Session) -> bool:
    ended = (OrderState.FULFILLED, OrderState.FAILED, OrderState.CANCELLED)
    passing = (AssetState.CREATING, AssetState.CLEARING, AssetState.DESTROYING)
    resting = (MachineState.IDLE, MachineState.IN_USE, MachineState.GONE)
    full = all(len(machines.idle_of(tx, pool.id)) >= pool.idle_target for pool in rows.where(tx, Pool))
    return (
        full
        and not outbox.unsent(tx, 1)
        and all(each.state in ended for each in rows.where(tx, Order))
        and all(each.state in resting for each in rows.where(tx, Machine))
        and not rows.where(tx, Asset, state=passing)
    )
