"""What a relay was last found or made to hold: the list of addresses it permits, and the keys it lets in."""

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import RelayId
from catalog.model.rows import Row, json_column


class RelayCare(Row, table=True):
    """How the keeping of one relay's list fares.

    ``addresses`` and ``keys`` are what the relay held when it was last asked; ``drifted_at_s`` is when it last held
    something that nobody here had written. ``code`` and ``reason`` say why the last attempt failed; empty: it did not.
    """

    id: RelayId = Field(primary_key=True, sa_type=String, foreign_key="relay.id")
    addresses: list[str] = json_column(list)
    keys: list[str] = json_column(list)
    written_at_s: float | None = None
    checked_at_s: float | None = None
    drifted_at_s: float | None = None
    code: str = ""
    reason: str = ""
