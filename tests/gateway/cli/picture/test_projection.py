"""gateway.cli.picture.projection: every place is in the frame, neighbours stay neighbours, degrees stay true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.picture.projection import Frame, Place, fit, frame_for

FRAME = Frame(left=10, top=20, width=1000, height=400)
places = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=12)


@given(places=places)
def test_every_place_is_in_the_frame(places: list[Place]) -> None:
    """Whatever the places are, the poles and both sides of the date line included."""
    projection = fit(places, FRAME)
    for place in places:
        x, y = projection.at(place)
        assert FRAME.left <= x <= FRAME.right + 1e-6
        assert FRAME.top - 1e-6 <= y <= FRAME.bottom + 1e-6


def test_degrees_are_as_wide_as_high() -> None:
    """Ten degrees of longitude are as many pixels as ten of latitude; north is up and east is right."""
    projection = fit([(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)], FRAME)
    (x0, y0), (x1, y1), (x2, y2) = (projection.at(place) for place in ((0.0, 0.0), (10.0, 0.0), (0.0, 10.0)))
    assert (x1, y2) == (x0, y0)
    assert y0 - y1 == pytest.approx(x2 - x0)
    assert y0 > y1


def test_neighbours_across_the_pacific_stay_so() -> None:
    """Tokyo (140 E) and Oregon (123 W) are 97 degrees apart, not 263, when nothing lies in Europe."""
    projection = fit([(36.0, 140.0), (45.0, -123.0)], FRAME)
    tokyo, oregon = projection.at((36.0, 140.0))[0], projection.at((45.0, -123.0))[0]
    assert (oregon - tokyo) / projection.pixels_per_degree == pytest.approx(97.0)


def test_a_single_city_does_not_fill_the_world() -> None:
    """One place stands in the middle of a picture that is at least twelve degrees wide."""
    projection = fit([(50.0, 8.0)], FRAME)
    assert projection.at((50.0, 8.0)) == pytest.approx((510.0, 220.0))
    assert FRAME.width / projection.pixels_per_degree >= 12


def test_the_graticule_has_names_and_fits() -> None:
    """By 15 degrees over 124, nine meridians at most; the equator and the prime meridian have no letter."""
    projection = fit([(-20.0, 0.0), (20.0, 100.0)], FRAME)
    meridians, parallels = list(projection.meridians()), list(projection.parallels())
    assert [name for _, name in meridians] == ["0°", *(f"{degrees}° E" for degrees in range(15, 106, 15))]
    assert [name for _, name in parallels] == ["15° S", "0°", "15° N"]
    assert all(FRAME.left <= x <= FRAME.right for x, _ in meridians)
    assert meridians[1][0] == pytest.approx(projection.at((0.0, 15.0))[0])


@given(places=places)
def test_the_graticule_is_never_dense(places: list[Place]) -> None:
    """At most nine meridians and as many parallels, and no parallel beyond a pole."""
    frame = frame_for(places, left=0, top=0, width=1000)
    projection = fit(places, frame)
    assert len(list(projection.meridians())) <= 9
    assert len(list(projection.parallels())) <= 9
    assert all(frame.top <= y <= frame.bottom + 1e-6 for y, _ in projection.parallels())


@pytest.mark.parametrize(
    ("places", "height"),
    [
        pytest.param([], 300.0, id="nothing"),
        pytest.param([(0.0, 0.0), (1.0, 170.0)], 300.0, id="flat"),
        pytest.param([(-80.0, 0.0), (80.0, 20.0)], 620.0, id="tall"),
        pytest.param([(0.0, 0.0), (40.0, 100.0)], 400.0, id="as needed"),
    ],
)
def test_a_frame_is_as_high_as_needed(places: list[Place], height: float) -> None:
    """40 degrees by 100 in a width of 1000 need 400 pixels; there is a least and a greatest height."""
    assert frame_for(places, left=0, top=0, width=1000).height == pytest.approx(height)
