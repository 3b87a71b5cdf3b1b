"""Lists that a cloud tells page by page: returned whole, or not at all.

Pure, but for ``ask``. Whoever reads pages by their number misses a row when an earlier one is deleted meanwhile, and
libcloud's drivers do not notice; a machine that is missed so would be made twice. So the pages are counted here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.errors import CloudMisbehaved, CloudUnavailable
from drivers.clouds.policy import PAGES_LIMIT

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: its rows, how many rows all pages have together, and what to ask for next; None at the end."""

    rows: Sequence[Row]
    total: int
    following: str | None


def whole(ask: Callable[[str | None], Page]) -> list[Row]:
    """Return the rows of all pages; ``ask(None)`` returns the first.

    Raises CloudUnavailable when the rows are not as many as the cloud says, or one came twice: the list changed while
    it was read. Raises CloudMisbehaved for pages that do not end.
    """
    page = ask(None)
    rows, totals, seen = list(page.rows), {page.total}, set[str]()
    while page.following is not None:
        if page.following in seen or len(seen) >= PAGES_LIMIT:
            raise CloudMisbehaved("the pages of the cloud's list do not end")
        seen.add(page.following)
        page = ask(page.following)
        rows += page.rows
        totals.add(page.total)
    if totals != {len(rows)} or len({str(row["id"]) for row in rows}) != len(rows):
        raise CloudUnavailable("the cloud's list changed while it was read, and is not whole")
    return rows
