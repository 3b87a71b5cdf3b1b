"""Couriers: events reach every receiver by themselves, and a slow one delays no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlmodel import col, select

from catalog import deliveries, webhooks
from catalog.access import Principal
from catalog.model.access import Role
from catalog.model.ids import TokenId, WebhookId
from catalog.model.webhook import DeliveryState, Webhook, WebhookDelivery
from catalog.secrets import Sealer
from catalog.store import rows
from catalog.store.database import Database, Tx
from catalog.tokens import issue_token
from catalog.webhooks import WebhookPolicy
from gateway.background.webhooks import Couriers
from tests.support.clocks import ManualClock
from tests.support.receivers import MemorySender
from tests.support.stores import MemoryKeys
from tests.support.waiting import until

ADMIN = Principal(role=Role.ADMIN, subject_id="", token_id=TokenId("token_1"), name="root")
POLICY = WebhookPolicy()
SEALER = Sealer(MemoryKeys())


def issue(tx: Tx) -> None:
    """Do something that is told."""
    issue_token(tx, role=Role.ADMIN, name="news", now_s=1.0)


class World:
    """Couriers at work over a real database."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database, self.clock, self.sender = database, clock, MemorySender()
        self.couriers = Couriers(
            database=database, clock=clock, sealer=SEALER, sender=self.sender, policy=POLICY, jitter=lambda: 0.0
        )

    async def add(self, name: str) -> WebhookId:
        """Add a webhook that gets tokens' events."""

        def work(tx: Tx) -> WebhookId:
            url = f"https://{name}.example.net"
            made, _ = webhooks.create(
                tx, principal=ADMIN, url=url, kind="token", sealer=SEALER, policy=POLICY, now_s=self.clock.now_s()
            )
            return made.id

        return await self.database.write(work)

    def told(self, name: str) -> int:
        """Return how many attempts went to a receiver."""
        return sum(each.url == f"https://{name}.example.net" for each in self.sender.sent)

    async def wait_for(self, *wanted: tuple[DeliveryState, int]) -> None:
        """Wait until the deliveries stand so and have had so many attempts, oldest event first."""
        seen: tuple[tuple[DeliveryState, int], ...] = ()
        ordered = select(WebhookDelivery).order_by(col(WebhookDelivery.seq))
        while seen != wanted:
            found = await self.database.read(lambda tx: tx.exec(ordered).all())
            seen = tuple((row.state, row.attempts) for row in found)


@asynccontextmanager
async def at_work(directory: Path) -> AsyncIterator[World]:
    """Have couriers at work until the block ends."""
    clock = ManualClock()
    async with Database.open(f"sqlite:///{directory / 'x.db'}", clock=clock) as database:
        world = World(database, clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.couriers.run())
            yield world
            running.cancel()


def test_a_receiver_that_hangs_delays_no_other(tmp_path: Path) -> None:
    """With one receiver silent, another gets each event as it happens; when the silent one answers, it gets all too."""

    async def story() -> None:
        async with at_work(tmp_path) as world:
            await world.add("slow")
            await world.add("quick")
            answered = asyncio.Event()
            world.sender.hold["https://slow.example.net"] = answered
            for count in (1, 2, 3):
                await world.database.write(issue)
                await until(lambda count=count: world.told("quick") == count)
            assert world.told("slow") == 0
            answered.set()
            await until(lambda: world.told("slow") == 3)

    asyncio.run(story())


def test_a_mistake_with_one_webhook_leaves_the_others_alone(tmp_path: Path) -> None:
    """An error that nobody foresaw ends no courier but is logged; the others' events arrive."""

    def answer(url: str) -> int:
        if "sick" in url:
            raise KeyError(url)
        return 200

    async def story() -> None:
        async with at_work(tmp_path) as world:
            world.sender.answer = answer
            await world.add("sick")
            await world.add("well")
            for count in (1, 2):
                await world.database.write(issue)
                await until(lambda count=count: world.told("well") == count)

    asyncio.run(story())


def test_what_failed_is_sent_again_when_it_is_due_and_replays_at_once(tmp_path: Path) -> None:
    """After a failure the next attempt waits for its time; a replay wakes the courier by itself."""

    async def story() -> None:
        async with at_work(tmp_path) as world:
            webhook = await world.add("one")
            world.sender.answer = lambda _url: None
            await world.database.write(issue)
            await world.wait_for((DeliveryState.PENDING, 1))
            world.sender.answer = lambda _url: 200
            world.clock.advance(5.0)
            await world.database.write(issue)  # wakes it; by its own the timer would
            await world.wait_for((DeliveryState.DELIVERED, 2), (DeliveryState.DELIVERED, 1))
            assert world.told("one") == 3

            def again(tx: Tx) -> None:
                row = rows.by_id(tx, Webhook, webhook)
                deliveries.replay(tx, row, since=0, now_s=world.clock.now_s())

            await world.database.write(again)
            await until(lambda: world.told("one") == 5)
            await world.wait_for((DeliveryState.DELIVERED, 1), (DeliveryState.DELIVERED, 1))

    asyncio.run(story())


def test_a_webhook_that_is_deleted_is_told_nothing_more(tmp_path: Path) -> None:
    """Its courier ends; the others go on."""

    async def story() -> None:
        async with at_work(tmp_path) as world:
            gone = await world.add("gone")
            await world.add("stays")
            await world.database.write(lambda tx: webhooks.remove(tx, webhooks.owned(tx, ADMIN, gone, "webhook:write")))
            for count in (1, 2):
                await world.database.write(issue)
                await until(lambda count=count: world.told("stays") == count)
            assert world.told("gone") == 0

    asyncio.run(story())
