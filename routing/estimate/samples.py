"""What samples of many links show by their order: the least, the middle, and how the excess shows in them. Pure.

Samples are arrays (links, samples) in ms, NaN where there is none. The excess of a sample over the floor of its link is
taken to be exponential: mostly small, now and then large, as queues are.
"""

from dataclasses import dataclass

import numpy as np

from routing.paths.graph import Floats, Ints

# Samples kept a link. Eight say within a tenth of the excess where the middle lies; more would only make shifts older.
RING = 8


@dataclass(frozen=True, slots=True)
class Ordered:
    """Samples of several links, a row each, in order; NaN, of which no row is full, at the end."""

    samples_ms: Floats
    count: Ints
    median_ms: Floats

    @classmethod
    def of(cls, samples_ms: Floats) -> "Ordered":
        """Return ``samples_ms`` in order."""
        ordered_ms = np.sort(samples_ms, axis=1)
        count = np.sum(~np.isnan(ordered_ms), axis=1)
        here = np.arange(len(ordered_ms))
        return cls(ordered_ms, count, (ordered_ms[here, (count - 1) // 2] + ordered_ms[here, count // 2]) / 2)

    @property
    def least_ms(self) -> Floats:
        """The least of each row."""
        return self.samples_ms[:, 0]

    @property
    def most_ms(self) -> Floats:
        """The largest of each row."""
        return self.samples_ms[np.arange(len(self.count)), self.count - 1]

    def spread_ms(self) -> Floats:
        """Return the mean distance from the median of each row."""
        spread_ms: Floats = np.nansum(np.abs(self.samples_ms - self.median_ms[:, None]), axis=1) / self.count
        return spread_ms

    def excess_ms(self) -> Floats:
        """Return how much the samples of each row exceed their floor, by their median; 0 for a single one."""
        excess_ms: Floats = (self.median_ms - self.least_ms) / _MEDIAN_EXCESS[self.count]
        return excess_ms


def _median_excess() -> Floats:
    """Return, by count, how many excesses the median of that many exponential samples lies above the least.

    The i-th gap between n ordered exponential samples has mean 1/(n - i). One sample shows no excess: inf.
    """
    above = [np.inf, np.inf]
    for count in range(2, RING + 1):
        middles = ((count - 1) // 2, count // 2)
        above.append(sum(sum(1 / (count - place) for place in range(1, middle + 1)) for middle in middles) / 2)
    return np.array(above)


_MEDIAN_EXCESS = _median_excess()
# The standard error of a median of normal samples, in their mean distances from it: sqrt(pi / 2) twice over.
MEDIAN_ERROR = float(np.pi / 2)
# The mean distance of exponential samples from their median, in excesses: ln 2.
SPREAD_OF_EXCESS = float(np.log(2))
