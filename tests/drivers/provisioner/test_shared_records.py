"""Records that several processes hold at once: clocks that are wrong, races, starts.

Each opening of the records is what a process of its own has: an engine with connections of its own.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, KeysView
from contextlib import AsyncExitStack
from dataclasses import replace

import psycopg
import pytest

from catalog.errors import LeaseLost
from catalog.messages.contracts import CreateMachine, DestroyMachine, EndEpoch, MachineCreated
from catalog.model.ids import MachineId, MessageId, PlatformId
from drivers.provisioner.journal import Job, Phase
from drivers.provisioner.records import SqlRecords
from drivers.provisioner.run import Provisioner
from drivers.provisioner.shared_records import SCHEMA, PostgresqlRecords
from tests.support.doubles import KillingCheckpoint, MemoryCloud, MemoryClouds
from tests.support.outlets import Outlet
from tests.support.records import ServerPlace

PLATFORM = PlatformId("platform_P")
TEN_MINUTES_S = 600.0
RIVALS = 30


def create(name: str, created_at_s: float) -> CreateMachine:
    """Return an order for the machine ``name``."""
    return CreateMachine(
        id=MessageId(f"create_{name}"), created_at_s=created_at_s, machine=MachineId(name), platform=PLATFORM,
        name=name, size="s", image="i", attempt=1, tags={"crossway-machine": name},
    )  # fmt: skip


def destroy(name: str) -> DestroyMachine:
    """Return the wish that nothing is left of it."""
    return DestroyMachine(id=MessageId(f"end_{name}"), created_at_s=1.0, machine=MachineId(name), platform=PLATFORM)


def created(job: Job) -> MachineCreated:
    """Return the report that it is there."""
    return MachineCreated(
        id=MessageId(f"created_{job.subject}"), created_at_s=1.0, machine=MachineId(job.subject), platform=PLATFORM,
        attempt=1, cloud_id=f"vm-{job.subject}",
    )  # fmt: skip


def together(place: ServerPlace, story: Callable[[PostgresqlRecords, PostgresqlRecords], Awaitable[None]]) -> None:
    """Run ``story`` with the records of two processes, whose hosts' clocks are ten minutes behind and ahead."""

    async def run() -> None:
        async with place.open(ahead_s=-TEN_MINUTES_S) as behind, place.open(ahead_s=TEN_MINUTES_S) as ahead:
            await story(behind, ahead)

    asyncio.run(run())


def test_a_lease_is_over_when_the_server_says_so(served: ServerPlace) -> None:
    """A host whose clock is ten minutes ahead takes nothing over early; one that is behind holds nothing longer."""
    here = served.clock

    async def story(behind: PostgresqlRecords, ahead: PostgresqlRecords) -> None:
        await behind.receive_create(create("m", here.now_s()), {}, here.now_s() - TEN_MINUTES_S)
        held = await behind.take(here.now_s() - TEN_MINUTES_S, 90.0, ())
        assert held is not None
        assert held.lease_until_s == here.now_s() + 90.0
        here.advance(89.0)
        assert await ahead.take(here.now_s() + TEN_MINUTES_S, 90.0, ()) is None
        here.advance(1.0)
        taken = await ahead.take(here.now_s() + TEN_MINUTES_S, 90.0, ())
        assert taken is not None
        assert taken.lease_until_s == here.now_s() + 90.0
        with pytest.raises(LeaseLost):
            await behind.write(held, [created(held)], here.now_s() - TEN_MINUTES_S, release=True)

    together(served, story)


def test_a_renewal_counts_from_the_server_s_now(served: ServerPlace) -> None:
    """What a wrong clock reckons as "90 seconds from now" is 90 seconds from now, and due then too."""
    here = served.clock

    async def story(behind: PostgresqlRecords, ahead: PostgresqlRecords) -> None:
        for wrong, off_s in ((behind, -TEN_MINUTES_S), (ahead, TEN_MINUTES_S)):
            await wrong.receive_create(create(f"m{off_s}", here.now_s()), {}, here.now_s() + off_s)
            job = await wrong.take(here.now_s() + off_s, 90.0, ())
            assert job is not None
            there_s = here.now_s() + off_s
            wish = replace(job, lease_until_s=there_s + 60.0, due_at_s=there_s + 5.0)
            written = await wrong.write(wish, [], there_s, release=False)
            assert (written.lease_until_s, written.due_at_s) == (here.now_s() + 60.0, here.now_s() + 5.0)
            assert await wrong.job(job.subject) == written

    together(served, story)


def test_the_clock_of_shared_records_is_the_server_s(served: ServerPlace) -> None:
    """Whatever a host's clock shows, whoever works the records off goes by the server's time."""

    async def story(behind: PostgresqlRecords, ahead: PostgresqlRecords) -> None:
        assert (behind.clock.now_s(), ahead.clock.now_s()) == (served.clock.now_s(), served.clock.now_s())
        served.clock.advance(7.0)
        assert (behind.clock.now_s(), ahead.clock.now_s()) == (served.clock.now_s(), served.clock.now_s())

    together(served, story)


def test_two_provisioners_with_clocks_apart_create_once(served: ServerPlace) -> None:
    """While one is in the middle of a creation the other, twenty minutes ahead, finds nothing to do."""
    cloud = MemoryCloud(served.clock)
    outlet = Outlet()

    def provisioner(records: PostgresqlRecords) -> Provisioner:
        return Provisioner(
            queue=outlet,
            clouds=MemoryClouds({PLATFORM: cloud}),
            records=records,
            clock=records.clock,
            checkpoint=KillingCheckpoint(),
            owner="us",
        )

    async def story(behind: PostgresqlRecords, ahead: PostgresqlRecords) -> None:
        first, second = provisioner(behind), provisioner(ahead)
        cloud.hold_creations = asyncio.Event()
        await first.receive(create("m", served.clock.now_s()))
        async with asyncio.TaskGroup() as tasks:
            creating = tasks.create_task(first.work_one())
            await cloud.creation_begun.wait()
            assert not await second.work_one()
            cloud.hold_creations.set()
            assert await creating
        for _ in range(20):
            while await second.work_one() or await first.work_one():
                pass
            served.clock.advance(5.0)
        await first.publish_results()
        await second.publish_results()

    together(served, story)

    assert len(cloud.ledger) == 1
    assert len(outlet.results(MachineCreated)) == 1


def test_every_job_is_taken_by_one_process(served: ServerPlace) -> None:
    """Six processes that take as fast as they can get each of a hundred jobs once."""
    count, taken = 100, list[str]()

    async def take_all(records: SqlRecords) -> None:
        while (job := await records.take(served.clock.now_s(), 90.0, ())) is not None or len(taken) < count:
            if job is not None:
                taken.append(job.subject)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            processes = [await stack.enter_async_context(served.open()) for _ in range(6)]
            for number in range(count):
                await processes[0].receive_create(create(f"m{number}", 1.0), {}, 1.0)
            async with asyncio.TaskGroup() as tasks:
                for records in processes:
                    tasks.create_task(take_all(records))

    asyncio.run(story())

    assert sorted(taken) == sorted(f"m{number}" for number in range(count))


def test_a_start_voids_nobody_s_lease(served: ServerPlace) -> None:
    """A process that starts while another works takes nothing from it."""

    async def story() -> None:
        async with served.open() as first:
            await first.receive_create(create("m", served.clock.now_s()), {}, 1.0)
            held = await first.take(1.0, 90.0, ())
            async with served.open() as second:
                assert await second.take(1.0, 90.0, ()) is None
            assert await first.job(MachineId("m")) == held

    asyncio.run(story())


def test_processes_that_start_at_once_make_the_tables_once(served: ServerPlace) -> None:
    """Nobody fails, and each can use what is there."""

    async def start() -> None:
        async with served.open() as records:
            assert await records.take(1.0, 90.0, ()) is None

    async def story() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5):
                tasks.create_task(start())

    asyncio.run(story())


def test_a_destruction_that_races_its_creation_wins_at_two_processes(served: ServerPlace) -> None:
    """Received by two processes in the same moment, in whatever order: nothing is wanted of it, and it is looked at."""

    async def story(one: PostgresqlRecords, other: PostgresqlRecords) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(RIVALS):
                tasks.create_task(one.receive_create(create(f"m{number}", 1.0), {}, 1.0))
                tasks.create_task(other.receive_destroy(destroy(f"m{number}"), {}, 1.0))
        jobs = [await one.job(MachineId(f"m{number}")) for number in range(RIVALS)]
        assert [(job.wanted, job.due_at_s) for job in jobs if job] == [(False, served.clock.now_s())] * RIVALS

    together(served, story)


def test_a_destruction_that_races_its_holder_is_never_forgotten(served: ServerPlace) -> None:
    """Asked at one process while another writes that all is done: the job is due, whichever came first."""

    async def story(one: PostgresqlRecords, other: PostgresqlRecords) -> None:
        held = []
        for number in range(RIVALS):
            await one.receive_create(create(f"m{number}", 1.0), {}, 1.0)
            held.append(await one.take(1.0, 90.0, ()))
        async with asyncio.TaskGroup() as tasks:
            for job in held:
                assert job is not None
                done = replace(job, phase=Phase.READY, due_at_s=None)
                tasks.create_task(one.write(done, [], one.clock.now_s(), release=True))
                tasks.create_task(other.receive_destroy(destroy(job.subject), {}, 1.0))
        jobs = [await one.job(MachineId(f"m{number}")) for number in range(RIVALS)]
        assert [(job.wanted, job.due_at_s) for job in jobs if job] == [(False, served.clock.now_s())] * RIVALS

    together(served, story)


def test_ends_of_epochs_that_race_leave_the_latest(served: ServerPlace) -> None:
    """Told to two processes at once, in whatever order: work below the highest is refused."""

    async def story(one: PostgresqlRecords, other: PostgresqlRecords) -> None:
        async with asyncio.TaskGroup() as tasks:
            for epoch in range(1, RIVALS):
                end = EndEpoch(id=MessageId(f"end_{epoch}"), created_at_s=1.0, platform=PLATFORM, epoch=epoch)
                tasks.create_task((one if epoch % 2 else other).receive_end(end, 1.0))
        await one.receive_create(create("m", 1.0), {}, 1.0)
        job = await one.job(MachineId("m"))
        assert job is not None
        assert job.refused_below == RIVALS - 1

    together(served, story)


class HeldUp(dict[str, str]):
    """Tags that are read in the middle of a transaction, and hold up whoever reads them there until let go."""

    def __init__(self) -> None:
        super().__init__({"held": "up"})
        self.reached, self.go_on = threading.Event(), threading.Event()

    def keys(self) -> KeysView[str]:
        """Return the names, when it is time."""
        self.reached.set()
        self.go_on.wait()
        return super().keys()

    def __iter__(self) -> Iterator[str]:
        """Go through the names, when it is time."""
        return iter(self.keys())


def test_a_process_that_is_held_up_in_a_transaction_holds_up_no_other(served: ServerPlace) -> None:
    """Stopped with a message half noted: the server ends that, the other notes it, and once awake the first knows."""

    async def story(stopped: PostgresqlRecords, other: PostgresqlRecords) -> None:
        tags = HeldUp()
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            held_up = tasks.create_task(stopped.receive_create(create("m", 1.0), tags, 1.0))
            try:
                await asyncio.to_thread(tags.reached.wait)
                assert await other.receive_create(create("m", 1.0), {"noted": "once"}, 1.0)
                assert not held_up.done()
            finally:
                tags.go_on.set()
        assert not held_up.result()
        job = await stopped.job(MachineId("m"))
        assert job is not None
        assert job.tags == {"noted": "once"}

    together(served, story)


def test_a_result_is_sent_by_whoever_wrote_it_as_long_as_that_lives(served: ServerPlace) -> None:
    """Two processes do not send everything twice; what one left lying the other sends after a while."""

    async def story(one: PostgresqlRecords, other: PostgresqlRecords) -> None:
        await one.receive_create(create("m", 1.0), {}, 1.0)
        job = await one.take(1.0, 90.0, ())
        assert job is not None
        await one.write(job, [created(job)], one.clock.now_s(), release=True)
        assert [message for message, _ in await one.unsent(10)] == ["created_m"]
        assert await other.unsent(10) == ()
        served.clock.advance(11.0)
        assert [message for message, _ in await other.unsent(10)] == ["created_m"]
        await other.mark_sent([MessageId("created_m")], other.clock.now_s())
        assert await one.unsent(10) == ()

    together(served, story)


def test_tables_of_an_earlier_release_are_brought_up_to_date(served: ServerPlace) -> None:
    """A column that is missing is added at the start, also while a process of the earlier release is at work."""

    async def story() -> None:
        async with served.open() as earlier:
            await earlier.receive_create(create("m", 1.0), {}, 1.0)
            with psycopg.connect(served.url, autocommit=True) as admin:
                admin.execute(f"ALTER TABLE {SCHEMA}.job DROP COLUMN told".encode())
                admin.execute(f'ALTER TABLE {SCHEMA}.outbox DROP COLUMN "by"'.encode())
            async with served.open() as later:
                job = await later.take(1.0, 90.0, ())
                assert job is not None
                assert (job.subject, job.told) == ("m", None)
                await later.write(job, [created(job)], 1.0, release=True)
                assert len(await later.unsent(1)) == 1

    asyncio.run(story())
