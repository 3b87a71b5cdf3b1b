"""What the order of samples shows: the least, the middle, the spread, and how much they exceed their floor."""

import numpy as np

from routing.estimate.samples import RING, Ordered


def test_rows_are_ordered_each_for_itself() -> None:
    """Missing samples count for nothing, an even number has the mean of its two middles."""
    found = Ordered.of(np.array([[5.0, np.nan, 1.0, 3.0], [4.0, 2.0, np.nan, np.nan]]))
    assert found.count.tolist() == [3, 2]
    assert (found.least_ms.tolist(), found.median_ms.tolist(), found.most_ms.tolist()) == ([1, 2], [3, 3], [5, 4])
    assert found.spread_ms().tolist() == [4 / 3, 1.0]


def test_a_single_sample_exceeds_nothing() -> None:
    """It is its own floor."""
    found = Ordered.of(np.array([[np.nan, 7.0]]))
    assert (found.least_ms.tolist(), found.excess_ms().tolist()) == ([7.0], [0.0])


def test_the_excess_shows_at_every_count() -> None:
    """Of many links with a floor of 40 ms and excesses of mean 2 ms, the mean of what is found is 2 ms, within 5 %."""
    rng = np.random.default_rng(5)
    for count in range(2, RING + 1):
        samples_ms = 40 + rng.exponential(2.0, (20_000, count))
        assert abs(Ordered.of(samples_ms).excess_ms().mean() - 2.0) < 0.1, count
