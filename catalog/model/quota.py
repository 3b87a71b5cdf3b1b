"""How much a project, or all projects of an organisation together, may hold at once."""

from typing import ClassVar

from sqlmodel import Field

from catalog.model.rows import Row


class Quota(Row, table=True):
    """The limits of one holder, None where there is none; a holder without a row has none at all."""

    LIMITS: ClassVar[tuple[str, ...]] = (
        *("machines", "cores", "memory_gib"),
        *("volumes", "volume_gib", "snapshots", "containers", "zones", "records", "balancers"),
    )

    id: str = Field(primary_key=True)  # the project's or organisation's
    machines: int | None = None
    cores: int | None = None
    memory_gib: int | None = None
    volumes: int | None = None
    volume_gib: int | None = None
    snapshots: int | None = None
    containers: int | None = None
    zones: int | None = None
    records: int | None = None
    balancers: int | None = None
