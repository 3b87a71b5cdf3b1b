"""The provisioner's records: each call one transaction on its own threads. In a file they belong to one process.

One writer thread, ``BEGIN IMMEDIATE``, WAL and synchronous=FULL: what ``write`` returned from survives a power cut,
and a create may follow it. Records that several processes share: ``drivers.provisioner.shared_records``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine

from catalog.messages.contracts import EndEpoch, Message
from catalog.model.ids import MessageId, PlatformId
from drivers.provisioner import statements
from drivers.provisioner.journal import Creation, Destruction, Job, Subject
from drivers.provisioner.tables import alone, engine_of, make_ready, void_leases

T = TypeVar("T")
Work = Callable[[Connection], T]


class SqlRecords:
    """Records in tables; where those are, and whose clock counts, is the subclasses'."""

    def __init__(self, engine: Engine, threads: int) -> None:
        """Take the engine, and as many threads as it has connections."""
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="provision-records")
        self._name: str | None = None  # of the process, where others share the tables

    async def receive_create(self, message: Creation, tags: Mapping[str, str], now_s: float) -> bool:
        """Note what is asked; False when the message was received before."""
        return await self._receive(message, now_s, lambda tx, now: statements.ask_create(tx, message, tags, now))

    async def receive_destroy(self, message: Destruction, tags: Mapping[str, str], now_s: float) -> bool:
        """Note what is asked; False when the message was received before."""
        return await self._receive(message, now_s, lambda tx, now: statements.ask_destroy(tx, message, tags, now))

    async def receive_end(self, message: EndEpoch, now_s: float) -> bool:
        """Note that work of earlier epochs is refused from now on; False when the message was received before."""
        return await self._receive(message, now_s, lambda tx, now: statements.end_epoch(tx, message, now))

    async def take(self, now_s: float, lease_s: float, busy: Collection[PlatformId]) -> Job | None:
        """Lease the job that is most overdue, with a new fence, at no platform in ``busy``; None when none is due."""
        return await self._run(lambda tx: statements.take(tx, self._now_s(tx, now_s), lease_s, busy))

    async def write(self, job: Job, results: Sequence[Message], now_s: float, *, release: bool) -> Job:
        """Write how far ``job`` got, with its results; raises LeaseLost when another holder has it."""

        def work(tx: Connection) -> Job:
            here_s = self._now_s(tx, now_s)
            return statements.write(tx, _moved(job, here_s - now_s), results, here_s, self._name, release=release)

        return await self._run(work)

    async def unsent(self, limit: int) -> Sequence[tuple[MessageId, str]]:
        """Return ids and bodies of unconfirmed results, oldest first."""
        return await self._run(lambda tx: statements.unsent(tx, limit, self._name, self._left_before_s(tx)))

    async def mark_sent(self, messages: Sequence[MessageId], now_s: float) -> None:
        """Note that the queue confirmed the results."""
        await self._run(lambda tx: statements.mark_sent(tx, messages, self._now_s(tx, now_s)))

    async def tidy(self, before_s: float) -> int:
        """Forget messages received or sent before ``before_s`` and jobs that were over before it; return how many."""
        return await self._run(lambda tx: statements.tidy(tx, before_s))

    async def held_by_others(self, job: Job) -> Collection[str]:
        """Return the cloud's ids that other jobs of the same kind have at the job's platform."""
        return await self._run(lambda tx: statements.held_by_others(tx, job))

    async def job(self, subject: Subject) -> Job | None:
        """Return the job of ``subject`` as it stands."""
        return await self._run(lambda tx: statements.job_of(tx, subject))

    def _now_s(self, tx: Connection, now_s: float) -> float:  # noqa: ARG002  # for records with a clock of their own
        """Return what time it is; the caller's clock shows ``now_s``."""
        return now_s

    def _left_before_s(self, tx: Connection) -> float | None:  # noqa: ARG002  # for records that others share
        """Return since when a result that is not sent counts as left lying; None: every one is ours to send."""
        return None

    async def _receive(self, message: Message, now_s: float, note: Callable[[Connection, float], None]) -> bool:
        def work(tx: Connection) -> bool:
            here_s = self._now_s(tx, now_s)
            if not statements.first_time(tx, message, here_s):
                return False
            note(tx, here_s)
            return True

        return await self._run(work)

    async def _run(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._in_transaction, work)

    def _in_transaction(self, work: Work[T]) -> T:
        with self._engine.begin() as tx:
            return work(tx)

    def _close(self) -> None:
        # Blocks for the transactions already begun: nothing may be cut in the middle.
        self._threads.shutdown(cancel_futures=True)
        self._engine.dispose()


class SqliteRecords(SqlRecords):
    """Records in one SQLite file that belongs to one process at a time."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open the file at ``path`` for this process alone, creating it when missing.

        Leases found in it are void: whoever held them is gone. Raises WrongState while another process has it open.
        """
        with alone(path):
            records = cls(engine_of(path), threads=1)
            try:
                await records._run(make_ready)
                await records._run(void_leases)
                yield records
            finally:
                records._close()


def _moved(job: Job, by_s: float) -> Job:
    """Return ``job`` with the times that its holder reckoned from its own clock, by that of the records."""
    due_at_s = None if job.due_at_s is None else job.due_at_s + by_s
    return replace(job, lease_until_s=job.lease_until_s + by_s, due_at_s=due_at_s)
