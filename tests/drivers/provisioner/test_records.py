"""The provisioner's records, wherever they are: lease and fence, what outlives the process, what is forgotten."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.errors import LeaseLost, WrongState
from catalog.messages.contracts import CreateMachine, DestroyMachine, MachineCreated
from catalog.model.ids import MachineId, MessageId, PlatformId
from catalog.ports import Clock
from drivers.provisioner.journal import Failure, Job, Phase, due_at_s, taken_up
from drivers.provisioner.records import SqlRecords
from tests.support.records import FilePlace, Place

NOW_S = 1_800_000_000.0
MACHINE, PLATFORM = MachineId("machine_M"), PlatformId("platform_P")
TAGS = {"crossway-owner": "us", "crossway-machine": MACHINE}
CREATE = CreateMachine(
    id=MessageId("message_1"), created_at_s=NOW_S, machine=MACHINE, platform=PLATFORM, name="m", size="s", image="i",
    attempt=1,
)  # fmt: skip
DESTROY = DestroyMachine(id=MessageId("message_2"), created_at_s=NOW_S, machine=MACHINE, platform=PLATFORM)
CREATED = MachineCreated(
    id=MessageId("message_3"), created_at_s=NOW_S, machine=MACHINE, platform=PLATFORM, attempt=1, cloud_id="vm-1"
)


def with_records(place: Place, story: Callable[[SqlRecords], Awaitable[None]]) -> None:
    """Run ``story`` with the records of ``place``, opened anew."""

    async def run() -> None:
        async with place.open() as records:
            await story(records)

    asyncio.run(run())


async def taken(records: SqlRecords, clock: Clock) -> Job:
    """Return the job that is due."""
    job = await records.take(clock.now_s(), 90.0, ())
    assert job is not None
    return job


def test_a_job_has_one_holder_and_a_lost_lease_writes_nothing(place: Place) -> None:
    """While leased a job is not taken; after the lease it is, and then the old holder's write is refused whole."""
    clock = place.clock

    async def story(records: SqlRecords) -> None:
        assert await records.receive_create(CREATE, TAGS, NOW_S)
        first = await taken(records, clock)
        clock.advance(89.0)
        assert await records.take(clock.now_s(), 90.0, ()) is None
        clock.advance(1.0)
        second = await taken(records, clock)
        with pytest.raises(LeaseLost):
            await records.write(replace(first, phase=Phase.READY), [CREATED], clock.now_s(), release=True)
        assert await records.unsent(10) == ()
        assert await records.job(MACHINE) == second

    with_records(place, story)


def test_a_lease_lasts_as_long_as_it_is_renewed(place: Place) -> None:
    """A holder that renews keeps the job beyond its first lease, and no longer than the last one."""
    clock = place.clock

    async def story(records: SqlRecords) -> None:
        await records.receive_create(CREATE, TAGS, NOW_S)
        job = await taken(records, clock)
        clock.advance(60.0)
        renewed = replace(job, lease_until_s=clock.now_s() + 90.0)
        assert (await records.write(renewed, [], clock.now_s(), release=False)).lease_until_s == clock.now_s() + 90.0
        clock.advance(89.0)
        assert await records.take(clock.now_s(), 90.0, ()) is None
        clock.advance(1.0)
        assert (await taken(records, clock)).fence == job.fence + 1

    with_records(place, story)


def test_a_job_and_its_results_outlive_the_process(place: Place) -> None:
    """What was written is there after reopening, results unsent; once the lease is over another takes it up."""
    clock = place.clock

    async def before(records: SqlRecords) -> None:
        await records.receive_create(CREATE, TAGS, NOW_S)
        job = replace(
            await taken(records, clock),
            phase=Phase.BOOTING,
            cloud_id="vm-1",
            failure=Failure(code="c", reason="r", retryable=True),
        )
        await records.write(replace(job, due_at_s=NOW_S), [CREATED], NOW_S, release=False)

    async def after(records: SqlRecords) -> None:
        clock.advance(90.0)
        assert [message_id for message_id, _ in await records.unsent(10)] == [CREATED.id]
        await records.mark_sent([CREATED.id], NOW_S)
        assert await records.unsent(10) == ()
        job = await taken(records, clock)
        assert (job.phase, job.cloud_id, job.fence) == (Phase.BOOTING, "vm-1", 2)
        assert job.failure == Failure(code="c", reason="r", retryable=True)

    with_records(place, before)
    with_records(place, after)


def test_a_file_s_leases_are_void_at_once(tmp_path: Path) -> None:
    """Nobody else can have held one when the file is opened: whoever did is gone, and its work goes on."""
    place = FilePlace(tmp_path)

    async def before(records: SqlRecords) -> None:
        await records.receive_create(CREATE, TAGS, NOW_S)
        await taken(records, place.clock)

    async def after(records: SqlRecords) -> None:
        assert (await taken(records, place.clock)).fence == 2

    with_records(place, before)
    with_records(place, after)


def test_a_message_is_received_once(place: Place) -> None:
    """The same message id has no second effect."""

    async def story(records: SqlRecords) -> None:
        assert await records.receive_create(CREATE, TAGS, NOW_S)
        assert not await records.receive_create(CREATE, TAGS, NOW_S)

    with_records(place, story)


def test_a_write_may_be_repeated(place: Place) -> None:
    """A commit that was not answered is done again with the same results: they are there once."""
    clock = place.clock

    async def story(records: SqlRecords) -> None:
        await records.receive_create(CREATE, TAGS, NOW_S)
        job = replace(await taken(records, clock), phase=Phase.READY, due_at_s=None)
        for _ in range(2):
            await records.write(job, [CREATED], clock.now_s(), release=True)
        assert [message_id for message_id, _ in await records.unsent(10)] == [CREATED.id]

    with_records(place, story)


def test_what_is_asked_while_the_holder_works_is_not_overwritten(place: Place) -> None:
    """A destruction asked during a creation survives the holder's write and makes the job due at once."""
    clock = place.clock

    async def story(records: SqlRecords) -> None:
        await records.receive_create(CREATE, TAGS, NOW_S)
        job = await taken(records, clock)
        await records.receive_destroy(DESTROY, TAGS, NOW_S)
        clock.advance(1.0)
        written = await records.write(replace(job, phase=Phase.READY, due_at_s=None), [], clock.now_s(), release=True)
        assert (written.wanted, written.due_at_s) == (False, NOW_S + 1)
        assert taken_up(written).phase is Phase.CLEARING

    with_records(place, story)


def test_a_second_process_is_refused_a_file(tmp_path: Path) -> None:
    """Two processes on one file would each void the other's leases: the second is told the setting that takes more."""
    place = FilePlace(tmp_path)

    async def story(_records: SqlRecords) -> None:
        with pytest.raises(WrongState) as refused:
            async with place.open():
                pass
        assert refused.value.field == "provision.database_url"
        assert "PostgreSQL" in str(refused.value.fix)

    with_records(place, story)


@pytest.mark.parametrize("phase", Phase)
def test_an_unwanted_machine_ends_gone_from_every_phase(phase: Phase) -> None:
    """From wherever the work got, what is not wanted is cleared; only what is gone stays gone."""
    job = Job(subject=MACHINE, platform=PLATFORM, wanted=False, phase=phase)

    expected = Phase.GONE if phase is Phase.GONE else Phase.CLEARING
    assert taken_up(job).phase is expected
    assert due_at_s(job, NOW_S) == (None if phase in (Phase.GONE, Phase.CLEARING) else NOW_S)


@pytest.mark.parametrize("phase", Phase)
def test_a_further_attempt_is_taken_up_only_after_a_report(phase: Phase) -> None:
    """An attempt that is asked while another is under way waits for that one's end; a lost report is made again."""
    job = Job(subject=MACHINE, platform=PLATFORM, asked_attempt=2, phase=phase)

    assert taken_up(job).attempt == (2 if phase in (Phase.FAILED, Phase.READY) else 1)


def test_what_is_over_is_forgotten_after_a_while(place: Place) -> None:
    """Old messages and the job of a machine that is gone; never what is unsent, runs, or may still be swept."""
    running = replace(CREATE, id=MessageId("message_R"), machine=MachineId("machine_R"))
    swept = replace(DESTROY, id=MessageId("message_S"), machine=MachineId("machine_S"))

    clock = place.clock

    async def story(records: SqlRecords) -> None:
        for made in (CREATE, running):
            await records.receive_create(made, TAGS, NOW_S)
            job = await taken(records, clock)
            await records.write(replace(job, phase=Phase.READY, due_at_s=None), [], NOW_S, release=True)
        for ended, unsure_until_s in ((DESTROY, None), (swept, NOW_S + 900.0)):
            await records.receive_destroy(ended, TAGS, NOW_S)
            job = await taken(records, clock)
            over = replace(job, phase=Phase.GONE, due_at_s=unsure_until_s, unsure_until_s=unsure_until_s)
            results = [replace(CREATED, id=MessageId(f"result_{ended.machine}"), machine=ended.machine)]
            await records.write(over, results, NOW_S, release=True)
        await records.mark_sent([MessageId(f"result_{MACHINE}")], NOW_S)

        assert await records.tidy(NOW_S) == 0
        assert await records.tidy(NOW_S + 1.0) == 6  # four messages in, one out, one job
        assert await records.job(MACHINE) is None
        assert await records.job(running.machine) is not None
        assert await records.job(swept.machine) is not None
        assert [id_ for id_, _ in await records.unsent(10)] == ["result_machine_S"]

    with_records(place, story)


def test_a_file_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    """Columns that are missing are added when it is opened, and its jobs are as they were."""
    place = FilePlace(tmp_path)
    clock = place.clock

    async def before(records: SqlRecords) -> None:
        await records.receive_create(CREATE, TAGS, NOW_S)

    with_records(place, before)
    with sqlite3.connect(tmp_path / "p.sqlite3") as file:
        assert file.execute("SELECT machine FROM job").fetchall() == [(MACHINE,)]  # as earlier releases wrote it
        for column in ("key_pair", "written_at_s"):
            file.execute(f"ALTER TABLE job DROP COLUMN {column}")
    file.close()

    async def after(records: SqlRecords) -> None:
        job = await taken(records, clock)
        assert (job.subject, job.key_pair) == (MACHINE, None)
        await records.write(replace(job, phase=Phase.READY), [], NOW_S, release=True)

    with_records(place, after)
