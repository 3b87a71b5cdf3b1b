"""Say how much a link may lose, from how many packets were lost of those sent.

Pure: no I/O and no clock. Everything works on arrays, one value a link, and on counts in which old packets weigh less,
so that a count of 0.3 lost of 41.7 sent is as good as any other.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from routing.paths.graph import Floats

# The mean run of losses that is assumed of a link of which nothing is known. A choice: queues that overflow for a
# round trip, and radio that fades, lose a handful of packets in a row at the rates at which routes are probed.
UNKNOWN_RUN_LIMIT = 10.0
# Run limits come in steps of a quarter (the R10 series), so that thousands of links share a few tests.
RUN_LIMITS = (
    *(1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0, 10.0),
    *(12.5, 16.0, 20.0, 25.0, 31.5, 40.0, 50.0, 63.0, 80.0, 100.0),
)
# A mean burst of 1.6 leaves room for a third of the losses in bursts of ten. The other two thirds then come one by one,
# and tell good from bad before those bursts matter.
_NEARLY_SINGLE = 1.6


def bounds(
    lost: npt.ArrayLike, sent: npt.ArrayLike, confidence: float = 0.95, *, design_effect: npt.ArrayLike = 1.0
) -> tuple[Floats, Floats]:
    """Return the least and the largest loss ratio that ``lost`` of ``sent`` packets leave believable.

    Each bound alone holds with ``confidence``, since a decision leans on one of them: 0 lost of 100 still allows
    2.95 %, 0 of 300 still 0.99 %. Nothing sent allows all from 0 to 1. Losses that come in runs say less than their
    number: ``design_effect`` is how many packets count for one (see ``design_effect``).

    These are Clopper's and Pearson's bounds. Wilson's are narrower on average, but where few packets are lost, which
    is where links differ, they promise more than they hold; and these extend to counts that are not whole.
    """
    weight = 1 / np.asarray(design_effect, dtype=np.float64)
    sent_now = np.asarray(sent, dtype=np.float64) * weight
    # Rounding of faded counts may leave a hair more lost than sent.
    lost_now = np.minimum(np.asarray(lost, dtype=np.float64) * weight, sent_now)
    back = sent_now - lost_now
    # The beta distribution has no parameter 0: where nothing was lost the least is 0, where all was the largest is 1.
    low = np.where(lost_now > 0, betaincinv(np.where(lost_now > 0, lost_now, 1.0), back + 1, 1 - confidence), 0.0)
    high = np.where(back > 0, betaincinv(lost_now + 1, np.where(back > 0, back, 1.0), confidence), 1.0)
    return low, high


def faded(counts: npt.ArrayLike, age_s: npt.ArrayLike, half_life_s: float) -> Floats:
    """Return what ``counts`` weigh after ``age_s`` more seconds: half after each half-life.

    Bounds of faded counts widen with age until they allow everything. While packets keep coming they are a little
    wider than they need be: packets that weigh 1, 1/2, 1/4 ... vary less together than their sum in whole packets.
    """
    ages_s = np.maximum(0.0, np.asarray(age_s, dtype=np.float64))
    return np.asarray(np.asarray(counts, dtype=np.float64) * 0.5 ** (ages_s / half_life_s))


def design_effect(mean_run: npt.ArrayLike, loss_ratio: npt.ArrayLike = 0.0) -> Floats:
    """Return how many packets say as much as one independent packet would, where losses come in runs of ``mean_run``.

    For a chain of two states whose next state hangs on the last one only (Gilbert): 2 x mean run x (1 - loss) - 1,
    never less than 1. Runs of one say 1, runs of ten nearly 19.
    """
    runs = np.asarray(mean_run, dtype=np.float64)
    return np.maximum(1.0, 2 * runs * (1 - np.asarray(loss_ratio, dtype=np.float64)) - 1)


def run_limit(lost: float, bursts: float, singles: float, confidence: float = 0.95) -> float:
    """Return how long the mean burst of a link's losses may be, of which so many were seen; one of RUN_LIMITS.

    ``singles`` of the ``bursts`` had one loss. Each loss ends its burst or does not, so the share that does has the
    bounds of any ratio. Where many are single, the others decide, since a link may lose packets one by one and in
    bursts too; where nearly all are, a bad link shows by these alone. With few losses seen the answer is
    UNKNOWN_RUN_LIMIT, unless those few already came in longer bursts.
    """
    of_all = _longest_mean(bursts, lost, confidence)
    if of_all <= _NEARLY_SINGLE:
        wanted = of_all
    else:
        longer, going_on = bursts - singles, lost - bursts
        # Of a few bursts alone anything could be believed; twice their mean is as much as makes sense.
        most = max(UNKNOWN_RUN_LIMIT, 2 * going_on / longer if longer > 0 else 0.0)
        wanted = min(_longest_mean(longer, going_on, confidence), most)
    return next((limit for limit in RUN_LIMITS if limit >= wanted), RUN_LIMITS[-1])


def _longest_mean(ended: float, losses: float, confidence: float) -> float:
    """Return the longest mean burst that is believable when ``ended`` of ``losses`` were the last of theirs."""
    least, _ = bounds(ended, losses, confidence)
    return 1 / max(float(least), 1 / RUN_LIMITS[-1])
