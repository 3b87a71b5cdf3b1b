"""Distances on the globe, worked out by hand."""

import numpy as np
import pytest

from routing.geography import great_circle_km


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        pytest.param((0, 0), (0, 90), 10007.5, id="a quarter of the equator"),
        pytest.param((90, 0), (-90, 123), 20015.1, id="pole to pole"),
        pytest.param((0, 0), (0, 180), 20015.1, id="antipodes"),
        pytest.param((51.5, -0.1), (51.5, -0.1), 0.0, id="nowhere"),
        pytest.param((0, 0), (0, 0.001), 0.1112, id="a street apart"),
    ],
)
def test_distances(a: tuple[float, float], b: tuple[float, float], km: float) -> None:
    """With a radius of 6,371 km half way round is 20,015 km, and a thousandth of a degree 111 m."""
    assert float(great_circle_km(*a, *b)) == pytest.approx(km, rel=1e-4)
    assert float(great_circle_km(*b, *a)) == pytest.approx(km, rel=1e-4)


def test_arrays_and_unknown_places() -> None:
    """One place against many at once; an unknown place is nowhere."""
    found = great_circle_km(0.0, 0.0, np.array([0.0, np.nan]), np.array([90.0, 0.0]))
    assert found[0] == pytest.approx(10007.5, rel=1e-4)
    assert np.isnan(found[1])
