"""The upkeep of the logs: old events go, the audit log's end is signed."""

import asyncio
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import select

from catalog import audit, events
from catalog.audit import Actor, Deed, Result
from catalog.model.access import Role
from catalog.model.audit import AuditCheckpoint
from catalog.store.database import Tx
from catalog.tokens import issue_token
from gateway.background.logs import LogPolicy, log_work
from gateway.background.runner import BackgroundTask
from tests.support.receivers import MemorySender
from tests.support.stores import opened_store


def test_both_logs_are_looked_after(tmp_path: Path) -> None:
    """After one run of each task events that are too old are gone, and the newest audit record has a checkpoint."""
    with opened_store(tmp_path) as store:

        def seed(tx: Tx) -> None:
            for age_s in (100.0, 1.0):
                issue_token(tx, role=Role.ADMIN, name="x", now_s=store.now_s - age_s)
            done = Deed(actor=Actor(key="admin"), action="x", subject="y", result=Result.DONE)
            audit.record(tx, done, store.now_s)

        store.write(seed)
        policy = LogPolicy(events_kept_s=50.0)
        sign = Ed25519PrivateKey.generate().sign
        work = log_work(
            store.database, store.clock, sealer=store.sealer, sign=sign, sender=MemorySender(), policy=policy
        )
        for task in work:
            if isinstance(task, BackgroundTask):
                store._runner.run(asyncio.wait_for(task.run_once(), 5))
        assert store.read(events.before_oldest) == 1
        [signed] = store.read(lambda tx: tx.exec(select(AuditCheckpoint)).all())
        assert signed.id == 1
