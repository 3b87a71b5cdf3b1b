"""What one round of probes saw of a link. A link that lost every packet was measured; it is never an error."""

import statistics
from dataclasses import dataclass

_DIFFERENCES = frozenset({"relay-connect", "relay-banner", "relay-first_byte", "passive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMeasurement:
    """The samples of one round on the link from ``source`` to ``target``, in the order sent.

    ``samples_ms`` holds round trips in ms, None for a packet that did not come back. ``method`` says how it was
    measured: ``icmp``, ``connect``, ``banner``, ``first_byte``, ``passive``, or one of them after ``relay-`` when it
    was done from the relay at ``source``. ``note`` holds the error code when the link could not be probed at all (such
    as ``host-key-mismatch``); such a link counts as lost.
    """

    source: str
    target: str
    method: str
    samples_ms: tuple[float | None, ...]
    measured_at_s: float
    note: str = ""

    @property
    def is_difference(self) -> bool:
        """Tell whether the samples are differences of two measurements, which err to either side."""
        return self.method in _DIFFERENCES

    @property
    def sent(self) -> int:
        """How many packets were sent."""
        return len(self.samples_ms)

    @property
    def lost(self) -> int:
        """How many of them did not come back."""
        return self.samples_ms.count(None)

    @property
    def rtt_ms(self) -> float | None:
        """The median round trip of those that did; None when none did."""
        returned = [sample for sample in self.samples_ms if sample is not None]
        return statistics.median(returned) if returned else None
