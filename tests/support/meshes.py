"""Synthetic meshes with the traits of real ones: clusters, detours that beat the direct way, slow last miles."""

import numpy as np

from routing.geography import great_circle_km
from routing.paths.graph import Floats


def synthetic_rtts_ms(count: int, seed: int) -> Floats:
    """Return round trips in ms between ``count`` made-up nodes in some dozens of regions; n x n, 0 on the diagonal.

    Distance in fibre times a detour of its own for each pair, and what each node's own access adds.
    """
    rng = np.random.default_rng(seed)
    regions = max(2, count // 6)
    latitudes, longitudes = rng.uniform(-50, 65, regions), rng.uniform(-180, 180, regions)
    region = rng.integers(0, regions, count)
    latitude, longitude = latitudes[region] + rng.normal(0, 2, count), longitudes[region] + rng.normal(0, 2, count)
    km = great_circle_km(latitude[:, None], longitude[:, None], latitude[None, :], longitude[None, :])
    detour = np.triu(1.2 + rng.gamma(1.5, 0.35, (count, count)), 1)
    access_ms = rng.gamma(1.0, 1.5, count)
    rtts_ms = km / 100 * (detour + detour.T) + access_ms[:, None] + access_ms[None, :]
    np.fill_diagonal(rtts_ms, 0.0)
    return rtts_ms
