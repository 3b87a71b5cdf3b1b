"""Where an order by needs was placed, why there, and where else it may go."""

from typing import Any

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import OrderId
from catalog.model.rows import Row, json_column


class Placement(Row, table=True):
    """The candidates of one order, best first, as they were judged when it was placed; ``position`` is the one in use.

    ``moving_since_s``: what was begun there is being destroyed; once it is known to be gone, the next one is begun.
    """

    order_id: OrderId = Field(primary_key=True, foreign_key="machine_order.id", sa_type=String)
    needs: dict[str, Any] = json_column()
    # [{"offer", "platform", "size", "size_name", "image", "image_name", "price", "room", "rtt_ms", "score", "terms",
    #   "outcome": "" (not tried), "chosen", "refused" or "failed", "reason"}]
    candidates: list[dict[str, Any]] = json_column(list)
    position: int = 0
    moving_since_s: float | None = Field(default=None, index=True)
