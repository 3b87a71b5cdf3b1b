"""Refuse round trips that cannot be: nothing is faster than light, and a wrong answer is worse than none.

Pure state: no I/O and no clock. One impossible sample that is believed draws traffic onto a way that does not exist,
and does so for as long as it is the least of its link.
"""

import math
from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from routing.geography import great_circle_km
from routing.paths.graph import Bools, Floats

_LIGHT_KM_PER_MS = 299_792.458 / 1000
# Of the speed of light in vacuum. Glass allows 0.68: the two hundredths are far less than any cable's detour.
FIBRE = 2 / 3
VACUUM = 1.0
# A region's published place is a city, and its halls stand anywhere around it: 50 km at either end.
_PLACES_OFF_BY_KM = 100.0


class Refusal(StrEnum):
    """Why a sample is not believed."""

    NOT_A_NUMBER = "not-a-number"
    NEGATIVE = "negative"
    FASTER_THAN_LIGHT = "faster-than-light"
    WRONG_ID = "wrong-id"


def least_rtt_ms(lat_a: float, lon_a: float, lat_b: float, lon_b: float, *, speed_ratio: float = FIBRE) -> float:
    """Return the least possible round trip between two places in degrees; 0 where a coordinate is NaN.

    There and back along the great circle at ``speed_ratio`` of the speed of light, the places being up to 100 km
    nearer than they say. The bound that refuses is that of fibre: no pair of 60 cloud regions comes closer to it than
    a tenth, so it costs no true sample, and that of vacuum would let phantoms pass that are a third too fast. Only
    where microwave or hollow fibre is known to be in use is it wrong: give VACUUM, which nothing passes.
    """
    return float(least_rtts_ms(great_circle_km(lat_a, lon_a, lat_b, lon_b), speed_ratio=speed_ratio))


def least_rtts_ms(distances_km: Floats, *, speed_ratio: float = FIBRE) -> Floats:
    """Return the least possible round trips over great-circle distances; 0 where one is NaN. See least_rtt_ms."""
    surely_km = np.maximum(0.0, np.nan_to_num(distances_km) - _PLACES_OFF_BY_KM)
    return np.asarray(2 * surely_km / (_LIGHT_KM_PER_MS * speed_ratio))


def refusal(sample_ms: float, least_ms: float) -> Refusal | None:
    """Return why a round trip of ``sample_ms`` is impossible where ``least_ms`` is the least; None where it is not."""
    if not math.isfinite(sample_ms):
        return Refusal.NOT_A_NUMBER
    if sample_ms < 0:
        return Refusal.NEGATIVE
    if sample_ms < least_ms:
        return Refusal.FASTER_THAN_LIGHT
    return None


class SampleGate:
    """Lets possible samples through and counts the others by reason.

    A lost packet is no sample and has no business here. A refused one says nothing of its link: it is neither a
    round trip nor a loss, since something did come back.
    """

    def __init__(self) -> None:
        """Start with nothing refused."""
        self._refused = dict.fromkeys(Refusal, 0)

    @property
    def refused(self) -> Mapping[Refusal, int]:
        """How many samples were refused for each reason, 0 included."""
        return dict(self._refused)

    def refuse(self, reason: Refusal, count: int = 1) -> None:
        """Count samples that somebody else refused, such as a prober that got answers to nobody's question."""
        self._refused[reason] += count

    def admits(self, sample_ms: float, least_ms: float) -> bool:
        """Tell whether one sample is possible; count it if not."""
        reason = refusal(sample_ms, least_ms)
        if reason is not None:
            self.refuse(reason)
        return reason is None

    def admitted(self, samples_ms: Floats, least_ms: Floats | float) -> Bools:
        """Return which of many samples are possible, each against its own ``least_ms`` or all against one."""
        finite = np.isfinite(samples_ms)
        negative = finite & (samples_ms < 0)
        too_fast = finite & ~negative & (samples_ms < least_ms)
        self.refuse(Refusal.NOT_A_NUMBER, int(np.sum(~finite)))
        self.refuse(Refusal.NEGATIVE, int(negative.sum()))
        self.refuse(Refusal.FASTER_THAN_LIGHT, int(too_fast.sum()))
        return np.asarray(finite & ~negative & ~too_fast)
