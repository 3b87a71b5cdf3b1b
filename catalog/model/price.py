"""The price book: what a thing at a platform costs, in whose words, from when to when."""

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import PlatformId
from catalog.model.rows import Row


class Price(Row, table=True):
    """The price of one item: of one platform, or of a provider in one region (``region`` "": in all of them).

    ``key`` is platform, provider, region, kind, item and unit as one text: at any moment a key has one price at most.
    It holds from ``valid_from_s`` until before ``valid_to_s``, None: until the next one begins.
    """

    __table_args__ = (UniqueConstraint("key", "valid_from_s"),)

    id: int | None = Field(default=None, primary_key=True)
    key: str
    platform_id: PlatformId | None = Field(default=None, foreign_key="platform.id", sa_type=String, index=True)
    provider: str = Field(default="", index=True)
    region: str = ""
    kind: str
    item: str  # the cloud's id or name of a size, image or class of volumes
    unit: str
    amount: str  # an exact decimal number as text: no database rounds it
    currency: str
    source: str
    valid_from_s: float
    valid_to_s: float | None = None
