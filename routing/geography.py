"""Distances on the globe, for one pair of places or for arrays of them. Pure; degrees in, kilometres out."""

import numpy as np

from routing.paths.graph import Floats

_EARTH_RADIUS_KM = 6371.0


def great_circle_km(
    latitudes_a: Floats | float, longitudes_a: Floats | float, latitudes_b: Floats | float, longitudes_b: Floats | float
) -> Floats:
    """Return the great-circle distance in km between places given in degrees; NaN where a coordinate is NaN.

    By the haversine formula, which stays exact for places close together.
    """
    lat_a, lon_a, lat_b, lon_b = (
        np.radians(np.asarray(degrees, dtype=np.float64))
        for degrees in (latitudes_a, longitudes_a, latitudes_b, longitudes_b)
    )
    haversine = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    # Rounding can push antipodes a hair past 1.
    return np.asarray(2 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(1.0, haversine))))
