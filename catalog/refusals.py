"""Refused calls in the audit log: the first at once, its repetitions in the next minute as one with their number.

A record for each would let whoever is refused make the gateway write, and the log grow, as fast as it calls. Alike are
refusals of one caller by one token, of the same action for the same reason; what they were about is told of the first.
Repetitions are in memory until their minute ends: a process that is killed takes their number along, and its log lines
alone tell of each call.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from catalog import audit
from catalog.audit import Deed
from catalog.store.database import Tx

MINUTE_S = 60.0
_OPEN_LIMIT = 10_000  # minutes under way; of more callers each refusal is a record again
_SUBJECTS = 8
Key = tuple[str, ...]


@dataclass(slots=True)
class Repetitions:
    """Refusals that are alike, since ``begun_at_s``."""

    begun_at_s: float
    count: int = 0
    newest: Deed | None = None
    first_at_s: float = 0.0
    last_at_s: float = 0.0
    subjects: dict[str, None] = field(default_factory=dict)

    def add(self, deed: Deed, now_s: float) -> None:
        """Count one more."""
        if not self.count:
            self.first_at_s = now_s
        self.count, self.newest, self.last_at_s = self.count + 1, deed, now_s
        if len(self.subjects) <= _SUBJECTS:
            self.subjects[deed.subject] = None


class Refusals:
    """The refusals that are not in the audit log yet."""

    def __init__(self, *, limit: int = _OPEN_LIMIT) -> None:
        """Begin with none; ``limit`` 0: keep none, each is recorded by itself."""
        self._limit = limit
        self._open: dict[Key, Repetitions] = {}
        self._untold: dict[Key, Repetitions] = {}

    def is_repeated(self, deed: Deed, now_s: float) -> bool:
        """Count ``deed`` if one like it was refused less than a minute ago; False: it is to be recorded by itself."""
        key = _key(deed)
        before = self._open.get(key)
        if before is not None:
            before.add(deed, now_s)
            return True
        if len(self._open) < self._limit:
            self._open[key] = Repetitions(now_s)
        return False

    def put_off(self, deed: Deed, now_s: float) -> bool:
        """Count ``deed``, which could not be recorded now; False where none are kept."""
        if self._limit:
            self._open.setdefault(_key(deed), Repetitions(now_s)).add(deed, now_s)
        return bool(self._limit)

    def end_minutes(self, now_s: float, *, begun_by_s: float) -> Sequence[Repetitions]:
        """End the minutes that began by then, and return what is to be recorded; again, until ``told`` of it."""
        for key, minute in list(self._open.items()):
            if minute.begun_at_s > begun_by_s or key in self._untold:
                continue
            if minute.count:
                self._untold[key] = minute
                self._open[key] = Repetitions(now_s)  # whoever goes on is told of once a minute
            else:
                del self._open[key]
        return tuple(self._untold.values())

    def told(self, recorded: Iterable[Repetitions]) -> None:
        """Forget what is in the log now."""
        for each in recorded:
            assert each.newest is not None
            self._untold.pop(_key(each.newest), None)


def record(tx: Tx, repeated: Iterable[Repetitions], now_s: float) -> None:
    """Append one record for each: how often, from when until when, and what about."""
    for each in repeated:
        assert each.newest is not None
        deed = each.newest
        data = {
            **deed.data,
            "count": str(each.count),
            "from_ms": str(round(each.first_at_s * 1000)),
            "until_ms": str(round(each.last_at_s * 1000)),
        }
        subject = deed.subject
        if len(each.subjects) > 1:
            subject = ""
            more = " ..." if len(each.subjects) > _SUBJECTS else ""
            data["subjects"] = " ".join(list(each.subjects)[:_SUBJECTS]) + more
        told = Deed(
            actor=deed.actor, action=deed.action, subject=subject, result=deed.result, code=deed.code, data=data
        )
        audit.record(tx, told, now_s)


def _key(deed: Deed) -> Key:
    return (deed.actor.key, deed.actor.token_id or "", deed.action, deed.code)
