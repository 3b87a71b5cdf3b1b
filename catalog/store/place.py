"""What a database program must give to ``catalog.store.database``, in the words of neither.

Implementations: ``sqlite`` (a file, one process) and ``postgresql`` (a server, one gateway at a time).
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

READERS = 4  # connections for reading, and threads that use them
BUSY_TIMEOUT_MS = 5_000  # only a foreign program (a backup, a console) can make us wait at all


class HeldElsewhere(Exception):
    """Another process has the tables open. Holds what to tell an operator; never a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """``write`` has one connection, between whose begin and commit nobody else writes; ``read`` gives snapshots."""

    write: Engine
    read: Engine


class Place(Protocol):
    """Where the tables of ``catalog.model`` are kept. Blocking; made without touching anything."""

    def exists(self) -> bool:
        """Return whether there is anything to look at yet; creates nothing."""
        ...

    def alone(self) -> AbstractContextManager[Engines]:
        """Hold the tables for this process, until the block ends. Raises HeldElsewhere.

        A connection that was lost is made anew when it is next needed, unless another process took over meanwhile:
        then that raises HeldElsewhere.
        """
        ...

    def looking(self) -> AbstractContextManager[Connection]:
        """Give a connection to look at the tables with, whoever has them open; they must exist."""
        ...

    def rehearsing(self) -> AbstractContextManager[Connection]:
        """Give a connection inside a transaction that sees what is there, and of which nothing stays."""
        ...

    def is_open_elsewhere(self) -> bool:
        """Return whether another process has the tables open now; creates nothing."""
        ...

    def is_passing(self, error: DBAPIError) -> bool:
        """Return whether ``error`` is what disks, networks and other programs do to us, and no mistake of ours."""
        ...
