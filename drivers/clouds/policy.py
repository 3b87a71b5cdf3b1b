"""The limits that every call to a cloud keeps, whatever the provider."""

from dataclasses import dataclass
from typing import Final

PAGES_LIMIT: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """How long one call may take and how much it may bring home.

    The defaults are choices: 30 s is five times what a loaded OpenStack takes for a create, 4 threads keep a dead
    platform from starving the living, 8 MiB hold about 1,300 machines as EC2 describes them.
    """

    deadline_s: float = 30.0  # from asking to answer, waiting for a thread included
    threads_count: int = 4  # calls of one platform under way at once
    waiting_limit: int = 64  # calls of one platform under way or waiting; more are turned away
    body_limit_bytes: int = 8 * 1024 * 1024  # of one answer, after decompression
    row_limit: int = 20_000  # of one list; a longer one is refused, never cut short
    page_count: int = 500  # rows asked for at once, where a cloud pages
    list_deadline_s: float = 120.0  # for a whole list that is read in a process of its own
    pages_limit: int = PAGES_LIMIT  # of one list; 20,000 rows in pages of 50
    sockets_limit: int = 64  # of one call, where a cloud ends each connection with its answer
    look_again_s: float = 1.0  # between two looks at what a cloud takes its time for
    resize_deadline_s: float = 600.0  # a machine may be carried to another host for it
    # What a thread may bring home of a list; parsing more would hold the event loop up, see ``reading_apart``.
    short_list_rows: int = 250
    short_list_bytes: int = 256 * 1024
