"""How well a platform is reached from here by the route in use, as last measured; no row: not measured."""

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import PlatformId
from catalog.model.rows import Row


class Reachability(Row, table=True):
    """One platform's: ``preference`` is 100 * 2^(-cost/100), of ``route``. None is unknown."""

    platform_id: PlatformId = Field(primary_key=True, foreign_key="platform.id", sa_type=String)
    route: str
    rtt_ms: float | None = None
    loss_ratio: float | None = None
    preference: float | None = None
    measured_at_s: float
