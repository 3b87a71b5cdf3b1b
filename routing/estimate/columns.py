"""The columns of the link table: a row a link, grown by doubling; what they mean is the table's business."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from routing.estimate.samples import RING
from routing.paths.graph import Bools, Floats, Ints

# Lost ten thousand to one before anything is known, worth ten packets.
LOSS_PRIOR_LOST, LOSS_PRIOR_SENT = 0.001, 10.0


@dataclass(slots=True)
class Columns:
    """Columns of one length."""

    two_sided: Bools
    ring: Floats  # (links, RING): the newest samples that came back, in ms
    ring_at: Floats  # (links, RING): when each was taken in
    place: Ints  # where the next sample goes
    sent: Floats
    lost: Floats
    outcomes: npt.NDArray[np.uint64]  # the newest packets, a bit each, 1 for a lost one; the newest lowest
    streak: Ints  # losses in a row
    fell_at: Floats  # when the streak was last long enough for a link that is down
    seen_at: Floats
    rtt: Floats
    median: Floats
    smoothed: Floats
    error: Floats  # of rtt, when it was worked out
    jitter: Floats
    loss: Floats
    samples: Ints

    @classmethod
    def empty(cls, capacity: int) -> "Columns":
        """Return columns of links about which nothing is known."""
        unknown = np.full(capacity, np.nan)
        return cls(
            two_sided=np.zeros(capacity, dtype=np.bool_),
            ring=np.full((capacity, RING), np.nan),
            ring_at=np.full((capacity, RING), -np.inf),
            place=np.zeros(capacity, dtype=np.int64),
            sent=np.zeros(capacity),
            lost=np.zeros(capacity),
            outcomes=np.zeros(capacity, dtype=np.uint64),
            streak=np.zeros(capacity, dtype=np.int64),
            fell_at=np.full(capacity, -np.inf),
            seen_at=np.full(capacity, -np.inf),
            rtt=unknown.copy(),
            median=unknown.copy(),
            smoothed=unknown.copy(),
            error=np.full(capacity, np.inf),
            jitter=np.zeros(capacity),
            loss=np.full(capacity, LOSS_PRIOR_LOST / LOSS_PRIOR_SENT),
            samples=np.zeros(capacity, dtype=np.int64),
        )

    def grown(self) -> "Columns":
        """Return twice as many rows, the first half as they are."""
        more = Columns.empty(len(self.sent))
        return Columns(*(np.concatenate((getattr(self, each.name), getattr(more, each.name))) for each in fields(self)))
