"""When tokens and log-ins were last used, about: kept in memory and written once a minute for all of them together.

A write for each request would make every read of the API wait for the disk; a minute is exact enough for people who
look for tokens that nobody needs, and for sessions that are left alone for hours.
"""

from collections.abc import Mapping

from catalog.store import principals
from catalog.store.database import Tx

PERIOD_S = 60.0


class LastUsed:
    """The uses since the last writing."""

    def __init__(self) -> None:
        """Begin with none."""
        self._used: dict[str, float] = {}
        self._written_at_s = float("-inf")

    def note(self, proof_id: str, now_s: float) -> bool:
        """Remember that the token or log-in was used now; return whether it is time to write."""
        self._used[proof_id] = now_s
        return now_s - self._written_at_s >= PERIOD_S

    def take(self, now_s: float) -> Mapping[str, float]:
        """Return what is to be written, and begin anew."""
        used, self._used, self._written_at_s = self._used, {}, now_s
        return used

    def of(self, proof_id: str, written: float | None) -> float | None:
        """Return when it was last used, where the database says ``written``."""
        return self._used.get(proof_id, written)


def write(tx: Tx, used: Mapping[str, float]) -> None:
    """Write when the tokens and log-ins with these ids were last used; their versions stay, for nothing was decided."""
    principals.note_uses(tx, used)
