"""How well platforms are reached from here: kept as measured, told with its age. Unmeasured is unknown, never 0."""

from dataclasses import asdict, dataclass

from catalog.model.ids import PlatformId
from catalog.model.reachability import Reachability
from catalog.store import rows
from catalog.store.database import Tx

_KEPT_S = 60.0  # what did not really change is written again after this long, to show that it still holds
_NEWS = {
    "rtt_ms": (2.0, 0.1),
    "loss_ratio": (0.005, 0.25),
    "preference": (1.0, 0.0),
}  # at least so much, or such a share


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What is known of the route in use; ``rtt_ms`` None: nothing comes back."""

    route: str
    rtt_ms: float | None
    loss_ratio: float | None
    preference: float | None
    measured_at_s: float


def keep(tx: Tx, platform_id: PlatformId, reach: Reach, now_s: float) -> bool:
    """Write ``reach`` down unless what is written says the same and is not old, and return whether it was written."""
    held = rows.find(tx, Reachability, platform_id)
    if held is None:
        rows.insert(tx, Reachability(platform_id=platform_id, **asdict(reach)), now_s)
        return True
    if held.route == reach.route and held.measured_at_s > reach.measured_at_s - _KEPT_S and not _is_news(held, reach):
        return False
    rows.update(tx, held, asdict(reach), now_s)
    return True


def _is_news(held: Reachability, reach: Reach) -> bool:
    for name, (least, share) in _NEWS.items():
        before, now = rows.value(held, name), asdict(reach)[name]
        if (before is None) != (now is None):
            return True
        if before is not None and abs(now - before) > max(least, share * before):
            return True
    return False
