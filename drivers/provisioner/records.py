"""The provisioner's own tables, in an SQLite file of its own: jobs with lease and fence, inbox, outbox.

With ``tables`` the only module under ``drivers`` that knows a database. One writer thread, ``BEGIN IMMEDIATE``, WAL and
synchronous=FULL: what ``write`` returned from survives a power cut, and a create may follow it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import (
    Connection,
    and_,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from catalog.errors import LeaseLost
from catalog.messages.contracts import CreateMachine, DestroyMachine, EndEpoch, Message
from catalog.model.ids import MessageId, PlatformId
from drivers.provisioner.journal import (
    MACHINE,
    Creation,
    Destruction,
    Failure,
    Job,
    Phase,
    Subject,
    due_at_s,
    subject_of,
)
from drivers.provisioner.tables import ASSET_COLUMNS, ENDED, INBOX, JOBS, OUTBOX, alone, engine_of, make_ready

T = TypeVar("T")

_J = JOBS.c
# What a job says of itself; the rest is its platform's.
_STORED = tuple(each.name for each in fields(Job) if each.name != "refused_below")
# What only the holder of the lease writes.
_PROGRESS = (
    "phase",
    "attempt",
    "cloud_id",
    "made_at_s",
    "create_begun_at_s",
    "unsure_until_s",
    "failed_at_s",
    "troubles",
    "told",
    "lease_until_s",
)


class SqliteRecords:
    """Records in one SQLite file that belongs to one process at a time."""

    def __init__(self, path: Path) -> None:
        """Prepare the engine and thread; use ``open``."""
        self._engine = engine_of(path)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="provision-records")

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the file at ``path`` for this process alone, creating it when missing.

        Leases found in it are void: whoever held them is gone. Raises WrongState while another process has it open.
        """
        with alone(path):
            records = cls(path)
            try:
                await records._run(make_ready)
                yield records
            finally:
                records._writer.shutdown(cancel_futures=True)
                records._engine.dispose()

    async def receive_create(self, message: Creation, tags: Mapping[str, str], now_s: float) -> bool:
        """Note what is asked; False when the message was received before."""
        return await self._run(lambda tx: _first_time(tx, message, now_s) and _ask_create(tx, message, tags, now_s))

    async def receive_destroy(self, message: Destruction, tags: Mapping[str, str], now_s: float) -> bool:
        """Note what is asked; False when the message was received before."""
        return await self._run(lambda tx: _first_time(tx, message, now_s) and _ask_destroy(tx, message, tags, now_s))

    async def receive_end(self, message: EndEpoch, now_s: float) -> bool:
        """Note that work of earlier epochs is refused from now on; False when the message was received before."""
        return await self._run(lambda tx: _first_time(tx, message, now_s) and _end_epoch(tx, message, now_s))

    async def take(self, now_s: float, lease_s: float, busy: Collection[PlatformId]) -> Job | None:
        """Lease the job that is most overdue, with a new fence, at no platform in ``busy``; None when none is due."""
        return await self._run(lambda tx: _take(tx, now_s, lease_s, busy))

    async def write(self, job: Job, results: Sequence[Message], now_s: float, *, release: bool) -> Job:
        """Write how far ``job`` got, with its results; raises LeaseLost when another holder has it."""
        return await self._run(lambda tx: _write(tx, job, results, now_s, release=release))

    async def unsent(self, limit: int) -> Sequence[tuple[MessageId, str]]:
        """Return ids and bodies of unconfirmed results, oldest first."""
        query = select(OUTBOX.c.id, OUTBOX.c.body).where(OUTBOX.c.sent_at_s.is_(None))
        found = await self._run(lambda tx: tx.execute(query.order_by(OUTBOX.c.seq).limit(limit)).all())
        return tuple((MessageId(id_), body) for id_, body in found)

    async def mark_sent(self, message: MessageId, now_s: float) -> None:
        """Note that the queue confirmed the result."""
        statement = update(OUTBOX).where(OUTBOX.c.id == message).values(sent_at_s=now_s)
        await self._run(lambda tx: tx.execute(statement))

    async def tidy(self, before_s: float) -> int:
        """Forget messages received or sent before ``before_s`` and jobs that were over before it; return how many."""
        return await self._run(lambda tx: _tidy(tx, before_s))

    async def held_by_others(self, job: Job) -> Collection[str]:
        """Return the cloud's ids that other jobs of the same kind have at the job's platform."""
        kind = func.coalesce(_J.kind, MACHINE) == job.kind
        others = and_(_J.platform == job.platform, kind, _J.subject != job.subject, _J.cloud_id.is_not(None))
        held = await self._run(lambda tx: tx.execute(select(_J.cloud_id).where(others)).scalars().all())
        return frozenset(held)

    async def job(self, subject: Subject) -> Job | None:
        """Return the job of ``subject`` as it stands."""
        return await self._run(lambda tx: _job(tx, subject))

    async def _run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._in_transaction, work)

    def _in_transaction(self, work: Callable[[Connection], T]) -> T:
        with self._engine.begin() as tx:
            return work(tx)


def _first_time(tx: Connection, message: Message, now_s: float) -> bool:
    added = insert(INBOX).values(id=message.id, at_s=now_s).on_conflict_do_nothing().returning(INBOX.c.id)
    return tx.execute(added).first() is not None


def _ask_create(tx: Connection, message: Creation, tags: Mapping[str, str], now_s: float) -> bool:
    subject = subject_of(message)
    known = _job(tx, subject)
    deadline_at_s = message.created_at_s + message.deadline_s
    if known is None:
        job = Job(
            subject=subject,
            platform=message.platform,
            name=message.name,
            location=message.location,
            tags=dict(tags),
            **_wanted(message),
            asked_attempt=message.attempt,
            attempt=message.attempt,
            deadline_at_s=deadline_at_s,
            due_at_s=now_s,
            epoch=message.epoch,
        )
        tx.execute(insert(JOBS).values(_columns(job) | {"written_at_s": now_s}))
    elif known.wanted and message.attempt > known.asked_attempt:
        asked = {
            "asked_attempt": message.attempt,
            "deadline_at_s": deadline_at_s,
            "due_at_s": now_s,
            "epoch": message.epoch,
        }
        tx.execute(update(JOBS).where(_J.subject == subject).values(asked))
    return True


def _wanted(message: Creation) -> dict[str, Any]:
    """Return what only a message of its kind says of the thing."""
    names = ("order", "size", "image", "key_pair", "network") if isinstance(message, CreateMachine) else ASSET_COLUMNS
    return {name: getattr(message, name) for name in names}


def _ask_destroy(tx: Connection, message: Destruction, tags: Mapping[str, str], now_s: float) -> bool:
    subject = subject_of(message)
    known = _job(tx, subject)
    if known is None:
        # A destruction may overtake its creation; the job that stays behind then refuses the creation.
        job = Job(
            subject=subject,
            platform=message.platform,
            kind=MACHINE if isinstance(message, DestroyMachine) else message.kind,
            capability=MACHINE if isinstance(message, DestroyMachine) else message.capability,
            tags=dict(tags),
            wanted=False,
            phase=Phase.CLEARING,
            cloud_id=message.cloud_id,
            due_at_s=now_s,
        )
        tx.execute(insert(JOBS).values(_columns(job) | {"written_at_s": now_s}))
    elif known.phase is not Phase.GONE:
        tx.execute(update(JOBS).where(_J.subject == subject).values(wanted=False, due_at_s=now_s))
    return True


def _end_epoch(tx: Connection, message: EndEpoch, now_s: float) -> bool:
    # Epochs only grow, and messages may overtake each other.
    whose = _granted_by(message.platform, message.capability)
    below = max(message.epoch, _refused_below(tx, whose))
    tx.execute(delete(ENDED).where(ENDED.c.platform == whose))
    tx.execute(insert(ENDED).values(platform=whose, below=below))
    under = func.coalesce(_J.capability, MACHINE) == message.capability
    mine = and_(_J.platform == message.platform, under, func.coalesce(_J.epoch, 0) < below, _J.wanted)
    tx.execute(update(JOBS).where(mine, _J.phase.in_((Phase.SEEKING, Phase.BOOTING))).values(due_at_s=now_s))
    return True


def _granted_by(platform: str, capability: str) -> str:
    return platform if capability == MACHINE else f"{platform}/{capability}"


def _refused_below(tx: Connection, whose: str) -> int:
    return tx.execute(select(ENDED.c.below).where(ENDED.c.platform == whose)).scalar_one_or_none() or 0


def _take(tx: Connection, now_s: float, lease_s: float, busy: Collection[PlatformId]) -> Job | None:
    due = (
        select(_J.subject)
        .where(_J.due_at_s <= now_s, _J.lease_until_s <= now_s, _J.platform.not_in(busy))
        .order_by(_J.due_at_s, _J.subject)
        .limit(1)
    )
    taken = (
        update(JOBS)
        .where(_J.subject == due.scalar_subquery(), _J.lease_until_s <= now_s)
        .values(fence=_J.fence + 1, lease_until_s=now_s + lease_s)
        .returning(_J.subject)
    )
    subject = tx.execute(taken).scalar_one_or_none()
    return None if subject is None else _job(tx, subject)


def _write(tx: Connection, job: Job, results: Sequence[Message], now_s: float, *, release: bool) -> Job:
    held = _job(tx, job.subject)
    if held is None or held.fence != job.fence:
        raise LeaseLost("another holder has taken this work over", detail=job.subject)
    now = replace(
        job,
        wanted=held.wanted,
        asked_attempt=held.asked_attempt,
        deadline_at_s=held.deadline_at_s,
        epoch=held.epoch,
        refused_below=held.refused_below,
        lease_until_s=0.0 if release else job.lease_until_s,
    )
    now = replace(now, due_at_s=due_at_s(now, now_s))
    values = {name: getattr(now, name) for name in _PROGRESS} | {
        "failure": None if now.failure is None else asdict(now.failure),
        "due_at_s": now.due_at_s,
        "written_at_s": now_s,
    }
    tx.execute(update(JOBS).where(_J.subject == job.subject, _J.fence == job.fence).values(values))
    for result in results:
        tx.execute(insert(OUTBOX).values(id=result.id, body=result.to_json()))
    return now


def _tidy(tx: Connection, before_s: float) -> int:
    # A job that is over and has no look ahead of it. One that still sweeps has; one that is forgotten begins anew
    # should its subject be asked for once more, and finds by its tags whatever there is.
    over = and_(_J.phase == Phase.GONE, _J.due_at_s.is_(None), _J.unsure_until_s.is_(None), _J.lease_until_s == 0.0)
    old = func.coalesce(_J.written_at_s, 0.0) < before_s
    statements = (
        delete(JOBS).where(over, old).returning(_J.subject),
        delete(INBOX).where(INBOX.c.at_s < before_s).returning(INBOX.c.id),
        delete(OUTBOX).where(OUTBOX.c.sent_at_s < before_s).returning(OUTBOX.c.id),
    )
    return sum(len(tx.execute(statement).all()) for statement in statements)


def _job(tx: Connection, subject: str) -> Job | None:
    row = tx.execute(select(JOBS).where(_J.subject == subject)).mappings().first()
    if row is None:
        return None
    failure = row["failure"]
    known = {name: row[_J[name]] for name in _STORED}
    told = {
        "phase": Phase(row["phase"]),
        "failure": None if failure is None else Failure(**failure),
        "epoch": row["epoch"] or 0,
        "kind": row["kind"] or MACHINE,
        "capability": row["capability"] or MACHINE,
        "options": row["options"] or {},
        "refused_below": _refused_below(tx, _granted_by(row["platform"], row["capability"] or MACHINE)),
    }
    return Job(**{**known, **told})


def _columns(job: Job) -> dict[str, Any]:
    values = {name: getattr(job, name) for name in _STORED}
    return values | {"failure": None if job.failure is None else asdict(job.failure)}
