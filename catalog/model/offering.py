"""The service catalog: an entry per capability, an offer per entry and platform, and the inventory behind it."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import EntryId, GrantId, OfferId, PlatformId
from catalog.model.rows import BIG, Row, enum_column, json_column


class CatalogEntry(Row, table=True):
    """One service of the catalog; created the first time any platform is granted its capability."""

    __tablename__ = "catalog_entry"

    id: EntryId = Field(primary_key=True, sa_type=String)
    capability: str = Field(unique=True)
    title: str


class OfferState(StrEnum):
    """Whether tenants can use an offer."""

    OFFERED = "offered"
    DEGRADED = "degraded"  # a proof failed: still shown, with the reason, but not for new orders
    WITHDRAWN = "withdrawn"


class Offer(Row, table=True):
    """An entry at one platform, backed by one accepted grant."""

    __table_args__ = (UniqueConstraint("entry_id", "platform_id"),)

    id: OfferId = Field(primary_key=True, sa_type=String)
    entry_id: EntryId = Field(foreign_key="catalog_entry.id", sa_type=String, index=True)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    grant_id: GrantId = Field(foreign_key="capability_grant.id", sa_type=String)
    state: OfferState = enum_column(OfferState, OfferState.OFFERED, index=True)
    reason: str = ""
    facts: dict[str, Any] = json_column()
    labels: dict[str, str] = json_column()  # an admin's words


class ListedRow(Row):
    """What is stored of a thing that a cloud lists; the columns after ``facts`` are those of ``catalog.normalise``."""

    cloud_id: str
    name: str
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    vcpu: float | None = None
    memory_gib: float | None = None
    disk_gib: float | None = None
    gpu_count: int | None = None
    architecture: str | None = None
    os_family: str | None = None
    os_version: str | None = None


class InventoryItem(ListedRow, table=True):
    """A size, image, location, network, key pair, volume or machine of a platform, as last read, whole or not at all.

    Sizes and images also carry what ``catalog.normalise`` made of them, to be filtered by; None is unknown.
    """

    __tablename__ = "inventory_item"
    __table_args__ = (
        UniqueConstraint("platform_id", "kind", "cloud_id"),
        Index("ix_inventory_item_size", "kind", "vcpu", "memory_gib"),
        Index("ix_inventory_item_system", "kind", "os_family", "os_version"),
    )

    id: int | None = Field(default=None, primary_key=True)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    kind: str  # a Capability value, such as "size" or "key-pair"


class IncomingItem(ListedRow, table=True):
    """A row of a list that is being read; it becomes inventory once the whole list is there."""

    __tablename__ = "incoming_item"
    __table_args__ = (Index("ix_incoming_item_list", "sync_id", "cloud_id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BIG)
    sync_id: str  # which list, read when
