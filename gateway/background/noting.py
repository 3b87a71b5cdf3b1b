"""What calls leave in memory, so that none waits for the disk, and the tasks that write it down."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from catalog.last_used import LastUsed
from catalog.ports import Clock
from catalog.refusals import Refusals
from catalog.store.database import Database
from gateway.background.refusals import NAME, refusal_work
from gateway.background.runner import BackgroundTask
from gateway.background.uses import use_work


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Who called, and what was refused again."""

    uses: LastUsed
    refusals: Refusals

    @classmethod
    def of(cls, disabled: Collection[str]) -> "Noted":
        """Return what is kept where these tasks never run: no refusals, if nobody would ever tell of them."""
        return cls(uses=LastUsed(), refusals=Refusals(limit=0) if NAME in disabled else Refusals())

    def work(self, database: Database, clock: Clock) -> Sequence[BackgroundTask]:
        """Return the tasks."""
        return use_work(database, self.uses), refusal_work(database, clock, self.refusals)
