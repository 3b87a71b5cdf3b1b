"""What is read and written in the provisioner's tables, each function within one transaction.

Several processes may be at work on a server's tables: whoever decides by a job's row locks it first. On SQLite, where
a transaction is alone from its beginning, the same statements lock nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from catalog.errors import LeaseLost
from catalog.messages.contracts import CreateMachine, DestroyMachine, EndEpoch, Message
from catalog.model.ids import MessageId, PlatformId
from drivers.provisioner.journal import MACHINE, Creation, Destruction, Failure, Job, Phase, due_at_s, subject_of
from drivers.provisioner.tables import ASSET_COLUMNS, ENDED, INBOX, JOBS, OUTBOX

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


def first_time(tx: Connection, message: Message, now_s: float) -> bool:
    """Note that ``message`` came; False when that was noted before."""
    return _is_new(tx, INBOX, {"id": message.id, "at_s": now_s})


def ask_create(tx: Connection, message: Creation, tags: Mapping[str, str], now_s: float) -> None:
    """Begin the job that ``message`` asks for, or ask for a further attempt of it."""
    asked: dict[str, Any] = {
        "asked_attempt": message.attempt,
        # From its receipt on: whoever sent it has another clock.
        "deadline_at_s": now_s + message.deadline_s,
        "due_at_s": now_s,
        "epoch": message.epoch,
    }
    begun = Job(
        subject=subject_of(message),
        platform=message.platform,
        name=message.name,
        location=message.location,
        tags=dict(tags),
        attempt=message.attempt,
        **_wanted(message),
        **asked,
    )
    known = _begun_or_known(tx, begun, now_s)
    if known is not None and known.wanted and message.attempt > known.asked_attempt:
        tx.execute(update(JOBS).where(_J.subject == known.subject).values(asked))


def ask_destroy(tx: Connection, message: Destruction, tags: Mapping[str, str], now_s: float) -> None:
    """Ask for the end of what ``message`` names."""
    # A destruction may overtake its creation; the job that stays behind then refuses the creation.
    begun = Job(
        subject=subject_of(message),
        platform=message.platform,
        kind=MACHINE if isinstance(message, DestroyMachine) else message.kind,
        capability=MACHINE if isinstance(message, DestroyMachine) else message.capability,
        tags=dict(tags),
        wanted=False,
        phase=Phase.CLEARING,
        cloud_id=message.cloud_id,
        due_at_s=now_s,
    )
    known = _begun_or_known(tx, begun, now_s)
    if known is not None and known.phase is not Phase.GONE:
        tx.execute(update(JOBS).where(_J.subject == known.subject).values(wanted=False, due_at_s=now_s))


def end_epoch(tx: Connection, message: EndEpoch, now_s: float) -> None:
    """Refuse the work of earlier epochs from now on, and let what is in the making be looked at."""
    whose = _granted_by(message.platform, message.capability)
    noted = _insert(tx, ENDED).values(platform=whose, below=message.epoch)
    told = noted.excluded.below
    # Epochs only grow, and messages may overtake each other.
    grown = ENDED.c.below < told
    tx.execute(noted.on_conflict_do_update(index_elements=[ENDED.c.platform], set_={"below": told}, where=grown))
    below = _refused_below(tx, whose)
    under = func.coalesce(_J.capability, MACHINE) == message.capability
    mine = and_(_J.platform == message.platform, under, func.coalesce(_J.epoch, 0) < below, _J.wanted)
    tx.execute(update(JOBS).where(mine, _J.phase.in_((Phase.SEEKING, Phase.BOOTING))).values(due_at_s=now_s))


def take(tx: Connection, now_s: float, lease_s: float, busy: Collection[PlatformId]) -> Job | None:
    """Lease the job that is most overdue, at no platform in ``busy``; None when none is due."""
    due = (
        select(_J.subject)
        .where(_J.due_at_s <= now_s, _J.lease_until_s <= now_s, _J.platform.not_in(busy))
        .order_by(_J.due_at_s, _J.subject)
        .limit(1)
        # What another process is about to take, or is told of now, is the business of that one.
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(JOBS)
        .where(_J.subject == due.scalar_subquery(), _J.lease_until_s <= now_s)
        .values(fence=_J.fence + 1, lease_until_s=now_s + lease_s)
        .returning(_J.subject)
    )
    subject = tx.execute(taken).scalar_one_or_none()
    return None if subject is None else job_of(tx, subject)


def write(tx: Connection, job: Job, results: Sequence[Message], now_s: float, by: str | None, *, release: bool) -> Job:
    """Write how far ``job`` got, with its results, as the process ``by``; raises LeaseLost when another has it.

    May be repeated with the same results: nobody knows of a commit that was not answered whether it happened.
    """
    held = job_of(tx, job.subject, locked=True)
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
        told = {"id": result.id, "body": result.to_json(), "by": by, "written_at_s": now_s}
        tx.execute(_insert(tx, OUTBOX).values(told).on_conflict_do_nothing())
    return now


def unsent(
    tx: Connection, limit: int, by: str | None, left_before_s: float | None = None
) -> Sequence[tuple[MessageId, str]]:
    """Return ids and bodies of results that the queue has not confirmed, oldest first.

    To the process ``by`` its own, and what others have left lying since before ``left_before_s``.
    """
    query = select(OUTBOX.c.id, OUTBOX.c.body).where(OUTBOX.c.sent_at_s.is_(None))
    if left_before_s is not None:
        query = query.where(or_(OUTBOX.c.by == by, OUTBOX.c.written_at_s < left_before_s))
    found = tx.execute(query.order_by(OUTBOX.c.seq).limit(limit))
    return tuple((MessageId(id_), body) for id_, body in found)


def mark_sent(tx: Connection, messages: Sequence[MessageId], now_s: float) -> None:
    """Note that the queue confirmed the results."""
    tx.execute(update(OUTBOX).where(OUTBOX.c.id.in_(messages)).values(sent_at_s=now_s))


def held_by_others(tx: Connection, job: Job) -> Collection[str]:
    """Return the cloud's ids that other jobs of the same kind have at the job's platform."""
    kind = func.coalesce(_J.kind, MACHINE) == job.kind
    others = and_(_J.platform == job.platform, kind, _J.subject != job.subject, _J.cloud_id.is_not(None))
    return frozenset(tx.execute(select(_J.cloud_id).where(others)).scalars())


def tidy(tx: Connection, before_s: float) -> int:
    """Forget messages received or sent before ``before_s`` and jobs that were over before it; return how many."""
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


def job_of(tx: Connection, subject: str, *, locked: bool = False) -> Job | None:
    """Return the job of ``subject`` as it stands; ``locked``: as it stays until the transaction ends."""
    query = select(JOBS).where(_J.subject == subject)
    row = tx.execute(query.with_for_update() if locked else query).mappings().first()
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


def _begun_or_known(tx: Connection, begun: Job, now_s: float) -> Job | None:
    """Write ``begun`` down; where its subject has a job already, return that one, locked."""
    known = None
    while known is None:  # it may be forgotten between the two
        if _is_new(tx, JOBS, _columns(begun) | {"written_at_s": now_s}):
            return None
        known = job_of(tx, begun.subject, locked=True)
    return known


def _wanted(message: Creation) -> dict[str, Any]:
    """Return what only a message of its kind says of the thing."""
    names = ("order", "size", "image", "key_pair", "network") if isinstance(message, CreateMachine) else ASSET_COLUMNS
    return {name: getattr(message, name) for name in names}


def _columns(job: Job) -> dict[str, Any]:
    values = {name: getattr(job, name) for name in _STORED}
    return values | {"failure": None if job.failure is None else asdict(job.failure)}


def _granted_by(platform: str, capability: str) -> str:
    return platform if capability == MACHINE else f"{platform}/{capability}"


def _refused_below(tx: Connection, whose: str) -> int:
    return tx.execute(select(ENDED.c.below).where(ENDED.c.platform == whose)).scalar_one_or_none() or 0


def _is_new(tx: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Add a row unless one with its key is there; whoever adds that just now is waited for."""
    (key,) = table.primary_key
    added = _insert(tx, table).values(values).on_conflict_do_nothing().returning(key)
    return tx.execute(added).first() is not None


def _insert(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
