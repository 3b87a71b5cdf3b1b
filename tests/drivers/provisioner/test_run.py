"""One machine per message, whatever the cloud, the queue or a second provisioner does."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from catalog.clouds import CloudMachine
from catalog.messages.contracts import (
    CreateAsset,
    CreateMachine,
    DestroyAsset,
    DestroyMachine,
    EndEpoch,
    MachineCreated,
    MachineDestroyed,
    MachineFailed,
    Message,
)
from catalog.model.ids import AssetId, MachineId, MessageId, OrderId, PlatformId
from drivers.provisioner.journal import Phase, ProvisionPolicy, Records
from drivers.provisioner.run import Provisioner
from tests.support.clocks import ManualClock
from tests.support.doubles import KillingCheckpoint, Lie, MemoryCloud, MemoryClouds
from tests.support.outlets import Outlet
from tests.support.records import Place

PLATFORM = PlatformId("platform_P")
MACHINE = MachineId("machine_M")
SHORT = ProvisionPolicy(lease_s=5.0, call_timeout_s=4.0)
TAGS = {"crossway-machine": MACHINE, "crossway-order": "order_O"}


class Bench:
    """One provisioner over real records and a memory cloud, moved by hand."""

    def __init__(self, records: Records, clock: ManualClock, cloud: MemoryCloud) -> None:
        self.records, self.clock, self.cloud = records, clock, cloud
        self.outlet = Outlet()
        self.provisioner = self.another()

    def another(self, policy: ProvisionPolicy | None = None) -> Provisioner:
        """Return a further provisioner over the same records, as a second process would have."""
        return Provisioner(
            queue=self.outlet,
            clouds=MemoryClouds({PLATFORM: self.cloud}),
            records=self.records,
            clock=self.clock,
            checkpoint=KillingCheckpoint(),
            owner="us",
            policy=policy,
        )

    async def until_idle(self, *, rest_s: float = 2000.0) -> None:
        """Do what is due, jumping the clock, until nothing falls due for ``rest_s``."""
        waited_s = 0.0
        while waited_s < rest_s:
            while await self.provisioner.work_one():
                waited_s = 0.0
            step_s = 5.0 if waited_s < 100 else 100.0  # sweeps are far apart
            self.clock.advance(step_s)
            waited_s += step_s
        await self.provisioner.publish_results()


def create(attempt: int = 1, **changes: object) -> CreateMachine:
    """Return an order for a machine."""
    message = CreateMachine(
        id=MessageId(f"message_{attempt}"),
        created_at_s=1_800_000_000.0,
        machine=MACHINE,
        platform=PLATFORM,
        name="crossway-m",
        size="s1",
        image="i1",
        attempt=attempt,
        order=OrderId("order_O"),
        tags=TAGS,
        deadline_s=300.0,
    )
    return replace(message, **changes)  # type: ignore[arg-type]  # a test names real fields


def destroy(cloud_id: str | None = None) -> DestroyMachine:
    """Return the wish that nothing is left of the machine."""
    return DestroyMachine(
        id=MessageId("message_D"), created_at_s=1.0, machine=MACHINE, platform=PLATFORM, cloud_id=cloud_id, tags=TAGS
    )


def on_bench(place: Place, story: Callable[[Bench], Awaitable[None]], *lies: Lie) -> Bench:
    """Run ``story`` on a fresh bench whose cloud tells ``lies``, and return the bench."""
    clock = place.clock

    async def run() -> Bench:
        async with place.open() as records:
            bench = Bench(records, clock, MemoryCloud(clock, lies=deque(lies)))
            await story(bench)
            return bench

    return asyncio.run(run())


@pytest.mark.parametrize(
    "lies",
    [
        pytest.param((), id="honest"),
        pytest.param((Lie.CREATED_BUT_503,), id="created but 503"),
        pytest.param((Lie.TIMED_OUT_CREATED_LATER,), id="timed out, created 10 s later"),
        pytest.param((Lie.TIMED_OUT_NOTHING, Lie.UNAVAILABLE), id="really failed twice"),
        pytest.param((Lie.TIMED_OUT_NOTHING, Lie.CREATED_BUT_503), id="failed, then created but 503"),
    ],
)
def test_a_lying_cloud_gets_exactly_one_machine(lies: tuple[Lie, ...], place: Place) -> None:
    """Whatever the answer to a creation was, one machine is left, reported once, and it is the one reported."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create())
        await bench.until_idle()

    bench = on_bench(place, story, *lies)

    (created,) = bench.outlet.results(MachineCreated)
    assert isinstance(created, MachineCreated)
    assert [each.cloud_id for each in bench.cloud.present] == [created.cloud_id]
    assert len(bench.cloud.ledger) == 1
    assert bench.outlet.results(MachineFailed) == []


def test_a_creation_that_happens_after_all_patience_is_swept(place: Place) -> None:
    """A machine that appears 200 s after its time-out, when another was already made, is found and destroyed."""

    async def story(bench: Bench) -> None:
        bench.cloud.late_s = 200.0
        await bench.provisioner.receive(create())
        await bench.until_idle()

    bench = on_bench(place, story, Lie.TIMED_OUT_CREATED_LATER)

    (created,) = bench.outlet.results(MachineCreated)
    assert isinstance(created, MachineCreated)
    assert len(bench.cloud.ledger) == 2
    assert [each.cloud_id for each in bench.cloud.present] == [created.cloud_id]


def test_a_message_delivered_three_times_has_one_effect(place: Place) -> None:
    """The same message, before and after the work, creates one machine and reports it once."""

    async def story(bench: Bench) -> None:
        for _ in range(3):
            await bench.provisioner.receive(create())
            await bench.until_idle()

    bench = on_bench(place, story)

    assert len(bench.cloud.ledger) == 1
    assert len(bench.outlet.results(MachineCreated)) == 1


def test_two_provisioners_never_create_for_one_message(place: Place) -> None:
    """While one provisioner's creation is under way, another that gets the same message leaves the job alone."""

    async def story(bench: Bench) -> None:
        bench.cloud.hold_creations = asyncio.Event()
        second = bench.another()
        async with asyncio.TaskGroup() as tasks:
            await bench.provisioner.receive(create())
            first_work = tasks.create_task(bench.provisioner.work_one())
            await bench.cloud.creation_begun.wait()
            await second.receive(create())
            assert not await second.work_one()
            bench.cloud.hold_creations.set()
            await first_work
        await bench.until_idle()

    bench = on_bench(place, story)

    assert len(bench.cloud.ledger) == 1


def test_a_creation_that_outlives_its_holder_is_adopted(place: Place) -> None:
    """A holder that dies in the middle of a creation, whose machine comes 10 s later, is followed by no second one.

    The next holder finds the announced creation in the journal, creates nothing for unknown_wait_s=30, and adopts.
    """

    async def story(bench: Bench) -> None:
        bench.cloud.hold_creations = asyncio.Event()
        bench.provisioner = bench.another(SHORT)
        await bench.provisioner.receive(create())
        async with asyncio.TaskGroup() as tasks:
            dying = tasks.create_task(bench.provisioner.work_one())
            await bench.cloud.creation_begun.wait()
            dying.cancel()
        asked, bench.cloud.hold_creations = bench.cloud.last_asked, None
        assert asked is not None
        bench.cloud.creates_late(asked)
        bench.provisioner = bench.another(SHORT)
        await bench.until_idle()

    bench = on_bench(place, story)

    assert len(bench.cloud.ledger) == 1
    assert len(bench.outlet.results(MachineCreated)) == 1


def test_a_holder_that_was_stopped_for_twice_its_lease_leaves_no_second_machine(place: Place) -> None:
    """Stopped with its creation on its lips, it creates when it goes on: no cloud can fence that, so it is swept.

    Its lease of 5 s is over after 10 s, and another holder made and reported a machine within 100 s more; whatever the
    first one writes then is refused, and only the reported machine is left.
    """

    async def story(bench: Bench) -> None:
        stopped = bench.cloud.hold_creations = asyncio.Event()
        first, second = bench.another(SHORT), bench.another(SHORT)
        await first.receive(create())
        async with asyncio.TaskGroup() as tasks:
            holder = tasks.create_task(first.work_one())
            await bench.cloud.creation_begun.wait()
            bench.cloud.hold_creations = None
            bench.clock.advance(2 * SHORT.lease_s)
            for _ in range(20):
                while await second.work_one():
                    """Go on with what is due."""
                bench.clock.advance(5.0)
            await second.publish_results()
            assert len(bench.outlet.results(MachineCreated)) == 1
            stopped.set()
            await holder
        assert len(bench.cloud.present) == 2
        await bench.until_idle()

    bench = on_bench(place, story)

    (created,) = bench.outlet.results(MachineCreated)
    assert isinstance(created, MachineCreated)
    assert [each.cloud_id for each in bench.cloud.present] == [created.cloud_id]


@pytest.mark.parametrize(
    ("lie", "code", "retryable"),
    [
        pytest.param(Lie.REFUSED, "cloud-refused", False, id="refused: at once and for good"),
        pytest.param(Lie.EXHAUSTED, "cloud-quota-exhausted", True, id="no room: at once, and again later"),
        pytest.param(Lie.ERROR_MACHINE, "cloud-error", True, id="a machine in ERROR"),
        pytest.param(Lie.NEVER_BOOTS, "cloud-timed-out", True, id="never boots"),
    ],
)
def test_a_failed_attempt_leaves_nothing_behind(
    lie: Lie,
    code: str,
    retryable: bool,  # noqa: FBT001
    place: Place,
) -> None:
    """When an attempt fails for certain, what it left is destroyed before the failure is reported, once."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create())
        await bench.until_idle()

    bench = on_bench(place, story, lie)

    (failed,) = bench.outlet.results(MachineFailed)
    assert isinstance(failed, MachineFailed)
    assert (failed.code, failed.retryable) == (code, retryable)
    assert bench.cloud.present == ()


def test_a_further_attempt_creates_again(place: Place) -> None:
    """After a failure the next attempt creates anew, and an old attempt's message is ignored."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create())
        await bench.until_idle()
        await bench.provisioner.receive(create(2, created_at_s=bench.clock.now_s()))
        await bench.until_idle()
        await bench.provisioner.receive(create(1, id=MessageId("message_again")))
        await bench.until_idle()

    bench = on_bench(place, story, Lie.ERROR_MACHINE)

    (created,) = bench.outlet.results(MachineCreated)
    assert isinstance(created, MachineCreated)
    assert created.attempt == 2
    assert [spec.client_token for spec in bench.cloud.ledger] == ["machine_M-1", "machine_M-2"]


def test_a_machine_that_is_not_wanted_any_more_is_destroyed(place: Place) -> None:
    """Destroying a running machine leaves nothing and says so, once, also when asked again."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create())
        await bench.until_idle()
        await bench.provisioner.receive(destroy("vm-0001"))
        await bench.provisioner.receive(replace(destroy("vm-0001"), id=MessageId("message_D2")))
        await bench.until_idle()

    bench = on_bench(place, story)

    assert bench.cloud.present == ()
    assert len(bench.outlet.results(MachineDestroyed)) == 1


def test_a_destruction_that_overtakes_its_creation_prevents_it(place: Place) -> None:
    """Messages may arrive in any order: what is not wanted is never created."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(destroy())
        await bench.provisioner.receive(create())
        await bench.until_idle()

    bench = on_bench(place, story)

    assert bench.cloud.ledger == []
    assert len(bench.outlet.results(MachineDestroyed)) == 1


def test_a_destruction_while_the_creation_is_under_way_wins(place: Place) -> None:
    """What is asked while the holder is busy is done right after: the machine is created, then destroyed."""

    async def story(bench: Bench) -> None:
        bench.cloud.hold_creations = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            await bench.provisioner.receive(create())
            tasks.create_task(bench.provisioner.work_one())
            await bench.cloud.creation_begun.wait()
            await bench.provisioner.receive(destroy())
            bench.cloud.hold_creations.set()
        await bench.until_idle()

    bench = on_bench(place, story)

    assert len(bench.cloud.ledger) == 1
    assert bench.cloud.present == ()
    assert len(bench.outlet.results(MachineDestroyed)) == 1


def test_an_unreachable_cloud_delays_and_then_fails_the_attempt(place: Place) -> None:
    """Without a connection nothing is begun; the attempt fails, retryable, when its 300 s are over."""

    async def story(bench: Bench) -> None:
        bench.cloud.unreachable = True
        await bench.provisioner.receive(create())
        await bench.until_idle(rest_s=400)

    bench = on_bench(place, story)

    (failed,) = bench.outlet.results(MachineFailed)
    assert isinstance(failed, MachineFailed)
    assert (failed.code, failed.retryable) == ("cloud-unavailable", True)
    assert bench.cloud.creations_begun == 0


def test_a_machine_that_vanishes_while_it_boots_is_a_failure(place: Place) -> None:
    """A machine that its cloud forgets is given 60 s to come back, then the attempt is over."""

    async def story(bench: Bench) -> None:
        bench.cloud.boot_looks = 1_000
        await bench.provisioner.receive(create())
        await bench.provisioner.work_one()
        bench.cloud.vanish("vm-0001")
        await bench.until_idle()

    bench = on_bench(place, story)

    (failed,) = bench.outlet.results(MachineFailed)
    assert isinstance(failed, MachineFailed)
    assert failed.reason == "the machine vanished from its cloud"


def test_a_hanging_platform_does_not_take_every_worker(place: Place) -> None:
    """With one worker per platform, a second job of the same platform waits while another platform's is taken."""

    async def story(bench: Bench) -> None:
        bench.cloud.hold_creations = asyncio.Event()
        worker = bench.another(ProvisionPolicy(workers_per_platform=1))
        other = MachineId("machine_N")
        async with asyncio.TaskGroup() as tasks:
            await worker.receive(create())
            await worker.receive(create(id=MessageId("message_N"), machine=other))
            tasks.create_task(worker.work_one())
            await bench.cloud.creation_begun.wait()
            assert not await worker.work_one()
            await worker.receive(
                create(id=MessageId("message_E"), machine=MachineId("machine_E"), platform=PlatformId("platform_E"))
            )
            assert await worker.work_one()
            bench.cloud.hold_creations.set()
        waiting = await bench.records.job(other)
        assert waiting is not None
        assert waiting.phase is Phase.SEEKING

    on_bench(place, story)


def test_running_for_real(place: Place) -> None:
    """``run`` receives, works and publishes by itself, woken and not told."""

    class OneMessage(Outlet):
        async def consume(
            self, topic: str, handle: Callable[[Message], Awaitable[None]], *, concurrency: int = 4
        ) -> None:
            """Deliver one message, then wait."""
            await handle(create())
            await super().consume(topic, handle, concurrency=concurrency)

    async def story(bench: Bench) -> None:
        bench.outlet = OneMessage()
        provisioner = bench.another(ProvisionPolicy(poll_s=0.0, idle_poll_s=0.01))
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(provisioner.run())
            await bench.outlet.created.wait()
            running.cancel()

    bench = on_bench(place, story)

    assert len(bench.cloud.present) == 1


def test_where_and_with_which_key_is_passed_on(place: Place) -> None:
    """Location, network and key pair reach the cloud as they were asked for, also after the records were closed."""
    cloud = MemoryCloud(clock := place.clock)

    async def run() -> None:
        async with place.open() as records:
            asked = create(location="fra-1", key_pair="mine", network="n1")
            await Bench(records, clock, cloud).provisioner.receive(asked)
        async with place.open() as records:
            await Bench(records, clock, cloud).until_idle()

    asyncio.run(run())
    assert [(spec.location, spec.key_pair, spec.network) for spec in cloud.ledger] == [("fra-1", "mine", "n1")]


def test_a_sender_s_clock_takes_no_time_from_an_attempt(place: Place) -> None:
    """An order from a host whose clock is an hour behind has its whole deadline, from when it is received."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create(created_at_s=bench.clock.now_s() - 3600.0))
        await bench.until_idle()

    bench = on_bench(place, story)

    assert len(bench.outlet.results(MachineCreated)) == 1
    assert bench.outlet.results(MachineFailed) == []


def end_of(epoch: int, name: str = "message_E") -> EndEpoch:
    """Return the word that work of epochs before ``epoch`` is refused."""
    return EndEpoch(id=MessageId(name), created_at_s=1.0, platform=PLATFORM, epoch=epoch)


@pytest.mark.parametrize("first", ["creation", "end"])
def test_work_of_an_ended_epoch_creates_nothing_whichever_message_comes_first(first: str, place: Place) -> None:
    """The cloud is asked for nothing, and the failure is reported as one that no further attempt can mend."""

    async def story(bench: Bench) -> None:
        both = [create(epoch=1), end_of(2)]
        for message in both if first == "creation" else reversed(both):
            await bench.provisioner.receive(message)
        await bench.until_idle()

    bench = on_bench(place, story)

    (failed,) = bench.outlet.results(MachineFailed)
    assert isinstance(failed, MachineFailed)
    assert (failed.code, failed.retryable) == ("cloud-refused", False)
    assert bench.cloud.ledger == []


def test_a_machine_that_boots_when_its_grant_ends_is_destroyed(place: Place) -> None:
    """Created and not yet reported: it is cleared up, and the attempt ends as failed."""

    async def story(bench: Bench) -> None:
        bench.cloud.boot_looks = 1000
        await bench.provisioner.receive(create(epoch=1))
        await bench.provisioner.work_one()
        await bench.provisioner.receive(end_of(2))
        await bench.until_idle()

    bench = on_bench(place, story)

    assert (len(bench.cloud.ledger), bench.cloud.present) == (1, ())
    assert len(bench.outlet.results(MachineFailed)) == 1


def test_a_grant_that_ends_between_two_steps_of_a_worker_stops_it_before_it_creates(place: Place) -> None:
    """The worker has looked and is about to create; the end arrives first: nothing is sent."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create(epoch=1))
        look = bench.cloud.find_machines

        async def look_and_lose(tags: Mapping[str, str]) -> Sequence[CloudMachine]:
            await bench.provisioner.receive(end_of(2))
            return await look(tags)

        bench.cloud.find_machines = look_and_lose  # type: ignore[method-assign]  # what happens while it is asked
        await bench.provisioner.work_one()
        bench.cloud.find_machines = look  # type: ignore[method-assign]
        assert bench.cloud.creations_begun == 0
        await bench.until_idle()

    bench = on_bench(place, story)

    assert bench.cloud.ledger == []
    assert len(bench.outlet.results(MachineFailed)) == 1


def test_what_is_delivered_or_of_a_later_epoch_is_left_alone(place: Place) -> None:
    """An end concerns what is in the making under an earlier epoch; an end that arrives late takes nothing back."""

    async def story(bench: Bench) -> None:
        await bench.provisioner.receive(create(epoch=1))
        await bench.until_idle()
        await bench.provisioner.receive(end_of(3))
        await bench.provisioner.receive(end_of(2, "message_F"))
        asked_s = bench.clock.now_s()
        later = create(epoch=3, id=MessageId("message_L"), machine=MachineId("machine_L"), created_at_s=asked_s)
        await bench.provisioner.receive(later)
        between = create(epoch=2, id=MessageId("message_B"), machine=MachineId("machine_B"), created_at_s=asked_s)
        await bench.provisioner.receive(between)
        await bench.until_idle()

    bench = on_bench(place, story)

    assert len(bench.cloud.present) == 2
    assert {each.machine for each in bench.outlet.results(MachineFailed)} == {"machine_B"}  # type: ignore[attr-defined]


def test_a_record_that_another_has_asked_for_since_is_never_swept(place: Place) -> None:
    """One that timed out and was given up is looked for a while; what a later order has in its place stays."""
    clock = place.clock
    cloud = MemoryCloud(clock)
    told = {"host": "www.shop.example", "type": "A", "value": "192.0.2.1", "ttl": "60"}

    def record(asset: str) -> CreateAsset:
        return CreateAsset(
            id=MessageId(f"message_{asset}"), created_at_s=clock.now_s(), asset=AssetId(asset), kind="record",
            capability="zone", platform=PLATFORM, name=asset, attempt=1, parent="Z1", options=told,
            tags={"crossway-asset": asset}, deadline_s=60.0, epoch=0,
        )  # fmt: skip

    async def run() -> None:
        async with place.open() as records:
            bench = Bench(records, clock, cloud)
            cloud.assets.lies.append("late")
            cloud.assets.late_s = 1e9
            await bench.provisioner.receive(record("asset_A"))
            await bench.provisioner.work_one()
            gone = DestroyAsset(
                id=MessageId("message_end"), created_at_s=clock.now_s(), asset=AssetId("asset_A"), kind="record",
                capability="zone", platform=PLATFORM, cloud_id=None, tags={"crossway-asset": "asset_A"},
            )  # fmt: skip
            await bench.provisioner.receive(gone)
            for _ in range(12):
                while await bench.provisioner.work_one():
                    pass
                clock.advance(5.0)
            held = await records.job(AssetId("asset_A"))
            assert held is not None
            assert (held.phase, held.unsure_until_s is None) == (Phase.GONE, False)
            await bench.provisioner.receive(record("asset_B"))
            await bench.until_idle()
            assert len(cloud.assets.present) == 1
            assert cloud.assets.destroyed == []

    asyncio.run(run())
