"""A list of pages is whole or it is refused."""

import pytest

from catalog.errors import CloudError, CloudMisbehaved, CloudUnavailable
from drivers.clouds.whole_lists import Page, whole


def page(ids: str, total: int, following: str | None = None) -> Page:
    """Return a page with a row for each letter of ``ids``."""
    return Page(rows=[{"id": each} for each in ids], total=total, following=following)


def test_the_rows_of_all_pages_come_in_order() -> None:
    """Three pages of five rows are five rows."""
    pages = {None: page("ab", 5, "2"), "2": page("cd", 5, "3"), "3": page("e", 5)}
    assert [row["id"] for row in whole(lambda asked: pages[asked])] == list("abcde")


def test_no_rows_are_a_whole_list() -> None:
    """An account without machines has an empty list, and it is known to be empty."""
    assert whole(lambda _: page("", 0)) == []


@pytest.mark.parametrize(
    ("pages", "error"),
    [
        pytest.param({None: page("ab", 4, "2"), "2": page("d", 3)}, CloudUnavailable, id="one vanished meanwhile"),
        pytest.param({None: page("ab", 4, "2"), "2": page("bc", 4)}, CloudUnavailable, id="one came twice"),
        pytest.param({None: page("ab", 5)}, CloudUnavailable, id="cut short"),
        pytest.param({None: page("ab", 2, "2"), "2": page("", 2, "2")}, CloudMisbehaved, id="no end"),
    ],
)
def test_a_list_that_is_not_whole_decides_nothing(pages: dict[str | None, Page], error: type[CloudError]) -> None:
    """What may lack a row is an error: a machine missed here would be made twice."""
    with pytest.raises(error):
        whole(lambda asked: pages[asked])
