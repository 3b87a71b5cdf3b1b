"""Platforms that cannot be dialled: at which relays their connectors dial in, and what each port there leads to."""

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import ExitId, PlatformId, RelayId
from catalog.model.rows import Row, json_column


class ReverseExit(Row, table=True):
    """One relay through which alone a platform is reached, as an admin approved it.

    ``ports`` are the relay's own loopback ports as the connector announced them: "api", "connector" or a "host:port" of
    the platform's network -> port. Empty until it has.
    """

    __tablename__ = "reverse_exit"
    __table_args__ = (UniqueConstraint("platform_id", "relay_id"),)

    id: ExitId = Field(primary_key=True, sa_type=String)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    relay_id: RelayId = Field(foreign_key="relay.id", sa_type=String, index=True)
    ports: dict[str, int] = json_column()
    announced_at_s: float | None = None
