"""Open passages: whatever ends one is felt at once by what runs in it, and everything that went through is counted."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from catalog import consent, passages, tokens
from catalog.access import Principal
from catalog.errors import PassageEnded, WrongState
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, Decision, GrantedCapability
from catalog.model.access import Role
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant
from catalog.model.ids import ConnectionId, PlatformId, new_id
from catalog.model.passage import Passage, PassageKind
from catalog.store import rows
from catalog.store.database import Database, Tx
from catalog.tokens import issue_token
from gateway.connections.passages import OpenPassage, OpenPassages
from gateway.connections.watched import Watched
from tests.support.clocks import ManualClock
from tests.support.stores import add_platform, opened_store

NEVER_S = 3600.0  # a review that only a wake can bring


class World:
    """A database with one connected platform that granted machine:list, and the passages of one process."""

    def __init__(self, database: Database, clock: ManualClock, platform: PlatformId, review_s: float) -> None:
        self.database, self.clock, self.platform = database, clock, platform
        self.open = OpenPassages(database, clock, review_s=review_s)

    async def passage(self, *, ttl_s: float = 60) -> Passage:
        """Return a new passage of a new admin token."""

        def work(tx: Tx) -> Passage:
            now_s = self.clock.now_s()
            token, _ = issue_token(tx, role=Role.ADMIN, name="who", now_s=now_s)
            who = Principal(role=Role.ADMIN, subject_id="", token_id=token.id, name="who")
            return passages.open_passage(
                tx,
                principal=who,
                platform_id=self.platform,
                kind=PassageKind.STREAM,
                purpose="db:5432",
                ttl_s=ttl_s,
                now_s=now_s,
            )

        return await self.database.write(work)

    def check(self, tx: Tx, now_s: float) -> None:
        """Ask whether machines may be listed."""
        consent.allowed(tx, self.platform, Capability.MACHINE, "list", now_s)

    def starts(self, tx: Tx, now_s: float) -> None:
        """Ask whether machines may be started."""
        consent.allowed(tx, self.platform, Capability.MACHINE, "start", now_s)

    async def write(self, work: Callable[[Tx], object]) -> None:
        """Change the database as an endpoint does, and wake the passages as it does."""
        await self.database.write(work)
        self.open.wake()

    async def row(self, passage: Passage) -> Passage:
        """Return the passage's row as it is now."""
        return await self.database.read(lambda tx: rows.by_id(tx, Passage, passage.id))


def run(tmp_path: Path, story: Callable[[World], Awaitable[None]], *, review_s: float = NEVER_S) -> None:
    """Prepare the world, and run ``story`` beside the review."""
    with opened_store(tmp_path) as store:
        platform = add_platform(store).id
        now_s = store.now_s

        def prepare(tx: Tx) -> None:
            connection = Connection(
                id=ConnectionId(new_id("connection", now_s)),
                requester_id=platform,
                target_id=platform,
                consented=True,
                state=ConnectionState.ESTABLISHED,
            )
            rows.insert(tx, connection, now_s)
            wanted = {Capability.MACHINE.value: CAPABILITY_VERBS[Capability.MACHINE]}
            consent.propose(
                tx, platform_id=platform, connection_id=connection.id, request_id="r", wanted=wanted, now_s=now_s
            )
            decide(tx, platform, ("list", "start"), now_s)
            consent.accept(tx, rows.where(tx, Grant, platform_id=platform)[0].id, now_s)

        store.write(prepare)
        clock = store.clock

    async def main() -> None:
        async with Database.open(f"sqlite:///{tmp_path / 'crossway.db'}", clock=clock) as database:
            world = World(database, clock, platform, review_s)
            async with asyncio.TaskGroup() as tasks:
                review = tasks.create_task(world.open.run())
                await asyncio.sleep(0)
                await story(world)
                review.cancel()

    asyncio.run(main())


def decide(tx: Tx, platform: PlatformId, verbs: tuple[str, ...], now_s: float) -> None:
    """Let the owner grant ``verbs`` of machines under the request that was made."""
    granted = (GrantedCapability(capability="machine", verbs=verbs),) if verbs else ()
    consent.record_decision(tx, platform_id=platform, decision=Decision(request_id="r", granted=granted), now_s=now_s)


async def close(world: World, passage: OpenPassage) -> None:
    """Close it as its endpoint does."""
    await world.write(lambda tx: passages.end(tx, passage.id, passages.CLOSED, world.clock.now_s()))


async def revoke_token(world: World, passage: OpenPassage) -> None:
    """Revoke the token that opened it."""
    await world.write(lambda tx: tokens.revoke_token(tx, str(passage.row.token_id), world.clock.now_s()))


async def revoke_grant(world: World, passage: OpenPassage) -> None:
    """Take the grant back."""
    await world.write(
        lambda tx: consent.revoke(tx, rows.where(tx, Grant, platform_id=passage.platform)[0].id, world.clock.now_s())
    )


async def narrow_grant(world: World, passage: OpenPassage) -> None:
    """Let the owner grant less than before."""
    await world.write(lambda tx: decide(tx, passage.platform, ("start",), world.clock.now_s()))


async def let_time_pass(world: World, passage: OpenPassage) -> None:
    """Let its time run out."""
    del passage
    world.clock.advance(61)
    world.open.wake()


async def end_platform(world: World, passage: OpenPassage) -> None:
    """End what leads into the platform."""
    assert await world.open.end_for_platform(passage.platform, "the platform is suspended") == 1


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        pytest.param(close, "it was closed", id="closed"),
        pytest.param(revoke_token, "token", id="token revoked"),
        pytest.param(revoke_grant, "all that the platform granted was taken back", id="grant revoked"),
        pytest.param(narrow_grant, "'list' of 'machine' is not granted", id="grant narrowed"),
        pytest.param(let_time_pass, "time is over", id="time over"),
        pytest.param(end_platform, "suspended", id="platform ended"),
    ],
)
def test_whatever_ends_a_passage_cuts_what_runs_in_it(
    tmp_path: Path, deed: Callable[[World, OpenPassage], Coroutine[None, None, None]], said: str
) -> None:
    """The block that would run for ever ends in PassageEnded with the reason, and the row says the same."""

    async def story(world: World) -> None:
        row = await world.passage()

        async def stream() -> None:
            async with world.open.opened(row, world.check) as passage, passage.while_allowed():
                passage.count(bytes_in=7)
                tasks.create_task(deed(world, passage))
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as tasks:
            with pytest.raises(PassageEnded, match=said):
                await stream()
        assert world.open.get(row.id) is None
        seen = await world.row(row)
        assert said in seen.end_reason
        assert (seen.ended_at_s, seen.bytes_in) == (world.clock.now_s(), 7)

    run(tmp_path, story)


def test_a_change_that_nobody_announced_is_felt_by_the_next_review(tmp_path: Path) -> None:
    """Nobody wakes the review after the owner's new word: the block is cut all the same."""

    async def story(world: World) -> None:
        row = await world.passage()

        async def stream() -> None:
            async with world.open.opened(row, world.check) as passage, passage.while_allowed():
                await world.database.write(lambda tx: decide(tx, world.platform, (), world.clock.now_s()))
                await asyncio.Event().wait()

        with pytest.raises(PassageEnded):
            await stream()

    run(tmp_path, story, review_s=0.05)


def test_a_narrower_grant_ends_only_the_calls_that_it_no_longer_covers(tmp_path: Path) -> None:
    """Of two running calls the one that needs the lost verb is cut, the other and the passage go on."""

    async def story(world: World) -> None:
        passage = world.open.admit(await world.passage(), world.starts)

        async def work(listing: Watched) -> None:
            async with listing.while_allowed():
                await narrow_grant(world, passage)
                await asyncio.Event().wait()

        with passage.call(world.check) as listing, passage.call(world.starts) as starting:
            with pytest.raises(PassageEnded, match="'list' of 'machine'"):
                await work(listing)
            assert not starting.ended.is_set()
            assert not passage.ended.is_set()
            await close(world, passage)
            await starting.ended.wait()
        with pytest.raises(PassageEnded), passage.call(world.starts):
            pass

    run(tmp_path, story)


def test_a_block_that_ends_by_itself_closes_its_passage(tmp_path: Path) -> None:
    """Leaving the block ends the row as closed; an error of the block's own leaves as it is."""

    async def story(world: World) -> None:
        row = await world.passage()

        async def stream() -> None:
            async with world.open.opened(row, world.check) as passage, passage.while_allowed():
                passage.count(calls=1, bytes_out=9)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await stream()
        seen = await world.row(row)
        assert (seen.end_reason, seen.calls, seen.bytes_out) == (passages.CLOSED, 1, 9)
        assert len(world.open) == 0

    run(tmp_path, story)


def test_a_deadline_of_the_block_is_not_taken_for_the_end_of_the_passage(tmp_path: Path) -> None:
    """A TimeoutError from inside leaves as TimeoutError."""

    async def story(world: World) -> None:
        passage = world.open.admit(await world.passage(), world.check)
        with pytest.raises(TimeoutError):
            async with passage.while_allowed(), asyncio.timeout(0):
                await asyncio.Event().wait()
        assert not passage.ended.is_set()

    run(tmp_path, story)


def test_what_went_through_is_written_while_it_goes_on(tmp_path: Path) -> None:
    """A review writes the counts down without ending anything."""

    async def story(world: World) -> None:
        row = await world.passage()
        passage = world.open.admit(row, world.check)
        for _ in range(3):
            passage.count(calls=1, bytes_in=10, bytes_out=100)
            await world.open.review()
        seen = await world.row(row)
        assert (seen.calls, seen.bytes_in, seen.bytes_out, seen.ended_at_s) == (3, 30, 300, None)

    run(tmp_path, story)


def test_nothing_is_admitted_while_nobody_watches(tmp_path: Path) -> None:
    """Without the review a passage could not be cut, so it does not begin; what is open ends with the review."""

    async def story(world: World) -> None:
        unwatched = OpenPassages(world.database, world.clock)
        with pytest.raises(WrongState):
            unwatched.admit(await world.passage(), world.check)

        row = await world.passage()
        async with asyncio.TaskGroup() as tasks:
            review = tasks.create_task(unwatched.run())
            await asyncio.sleep(0)
            passage = unwatched.admit(row, world.check)
            assert unwatched.admit(row, world.check) is passage
            review.cancel()
        assert "going down" in passage.reason
        assert "going down" in (await world.row(row)).end_reason

    run(tmp_path, story)


def test_what_an_earlier_process_left_open_is_ended(tmp_path: Path) -> None:
    """After recover no row is open."""

    async def story(world: World) -> None:
        row = await world.passage()
        await world.open.recover()
        assert "restarted" in (await world.row(row)).end_reason

    run(tmp_path, story)


def test_a_check_that_fails_by_mistake_lets_nothing_go_on(tmp_path: Path) -> None:
    """An error that is no Denied ends the review, and with it every passage: fail closed."""

    async def story(world: World) -> None:
        def broken(_tx: Tx, _now_s: float) -> None:
            raise ZeroDivisionError

        held = OpenPassages(world.database, world.clock)
        row = await world.passage()

        async def admitted() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(held.run())
                await asyncio.sleep(0)
                held.admit(row, broken)

        with pytest.raises(ExceptionGroup):
            await admitted()
        assert len(held) == 0
        assert (await world.row(row)).ended_at_s is not None

    run(tmp_path, story)
