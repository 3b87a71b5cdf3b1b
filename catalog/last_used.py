"""When tokens and log-ins were last used, about: kept in memory and written once a minute for all of them together.

A write for each request would make every read of the API wait for the disk; a minute is exact enough for people who
look for tokens that nobody needs, and for sessions that are left alone for hours.
"""

from collections.abc import Mapping

from catalog.store import principals
from catalog.store.database import Tx


class LastUsed:
    """The uses that are not written yet."""

    def __init__(self) -> None:
        """Begin with none."""
        self._used: dict[str, float] = {}

    def note(self, proof_id: str, now_s: float) -> None:
        """Remember that the token or log-in was used now."""
        self._used[proof_id] = now_s

    def unwritten(self) -> Mapping[str, float]:
        """Return what is to be written now; it is remembered until ``written`` is told of it."""
        return dict(self._used)

    def written(self, used: Mapping[str, float]) -> None:
        """Forget what is in the database now; what was used again meanwhile stays to be written."""
        for proof_id, at_s in used.items():
            if self._used.get(proof_id) == at_s:
                del self._used[proof_id]

    def of(self, proof_id: str, written: float | None) -> float | None:
        """Return when it was last used, where the database says ``written``."""
        return self._used.get(proof_id, written)


def write(tx: Tx, used: Mapping[str, float]) -> None:
    """Write when the tokens and log-ins with these ids were last used; their versions stay, for nothing was decided."""
    principals.note_uses(tx, used)
