"""How well a platform is reached from here by the route in use, as last measured; no row: not measured."""

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import PlatformId
from catalog.model.rows import Row

STALE_S = 300.0  # a review measures every quarter of a minute; after twenty missed ones nobody may rely on it


def is_stale(measured_at_s: float, now_s: float) -> bool:
    """Whether what was measured then says nothing about now."""
    return now_s - measured_at_s > STALE_S


class Reachability(Row, table=True):
    """One platform's: ``preference`` is 100 * 2^(-cost/100), of ``route``. None is unknown."""

    platform_id: PlatformId = Field(primary_key=True, foreign_key="platform.id", sa_type=String)
    route: str
    rtt_ms: float | None = None
    loss_ratio: float | None = None
    preference: float | None = None
    measured_at_s: float
