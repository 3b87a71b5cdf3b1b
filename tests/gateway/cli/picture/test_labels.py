"""gateway.cli.picture.labels: names cover neither each other nor marks, and it is plain whose they are."""

from itertools import combinations

import pytest

from gateway.cli.picture.labels import Label, leader, mark, placed
from gateway.cli.picture.projection import Frame

BOUNDS = Frame(left=0, top=0, width=1000, height=500)


def test_a_lonely_label_stands_to_the_right() -> None:
    """Beside its mark and level with it, without a line."""
    label = Label(x=500, y=250, name="london", details=("gateway",))
    [place] = placed([label], BOUNDS)
    assert (place.left, place.top) == (509.0, 244.0)
    assert leader(label, place, [label]) is None


def test_at_the_right_edge_it_stands_to_the_left() -> None:
    """What would leave the picture goes to the other side."""
    [place] = placed([Label(x=990, y=250, name="sydney")], BOUNDS)
    assert place.right <= 990


def test_a_crowd_keeps_its_names_apart() -> None:
    """Six sites within 40 pixels: no two names overlap, and every name that could be another's has a line."""
    labels = [
        Label(x=500 + 20 * (n % 3), y=250 + 15 * (n // 3), name=f"city-{n}", details=("relay",)) for n in range(6)
    ]
    places = placed(labels, BOUNDS)
    assert all(a.covers(b) == 0 for a, b in combinations(places, 2))
    assert all(mark(each.x, each.y).covers(place) == 0 for each in labels for place in places)
    assert any(leader(label, place, labels) for label, place in zip(labels, places, strict=True))


def test_a_line_in_the_way_is_avoided() -> None:
    """A route that leaves to the right pushes the name to the left."""
    line = [Frame(left=500 + 6 * n, top=247, width=6, height=6) for n in range(30)]
    [place] = placed([Label(x=500, y=250, name="london")], BOUNDS, line)
    assert place.right <= 500


def test_no_label_no_place() -> None:
    """Lines and nothing to name: nothing is placed."""
    assert placed([], BOUNDS, [Frame(left=0, top=0, width=5, height=5)]) == []


@pytest.mark.parametrize(
    ("name", "details", "width", "height"),
    [("abcde", (), 37.2, 12.0), ("ab", ("abcdefghij", "x"), 56.0, 34.0), ("東京", (), 29.76, 12.0)],
)
def test_a_label_is_as_large_as_its_words(name: str, details: tuple[str, ...], width: float, height: float) -> None:
    """Five letters of 12 px by 0.62; ten of 10 px by 0.56; a Chinese character counts twice; 11 px a further line."""
    label = Label(x=0, y=0, name=name, details=details)
    assert (label.width, label.height) == (pytest.approx(width), height)
