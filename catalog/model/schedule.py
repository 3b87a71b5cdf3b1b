"""When machines run: of one machine, or of all machines of a project that have no schedule of their own."""

from sqlalchemy import String
from sqlmodel import Field

from catalog.model.ids import MachineId, ProjectId
from catalog.model.rows import Row, json_column


class Schedule(Row, table=True):
    """The windows of one machine or project, by the clock of a zone; without windows it is left alone.

    ``next_edge_s`` is when something has to be done next, None: never. Nothing before ``set_at_s`` is made up for.
    """

    id: str = Field(primary_key=True)  # the machine's or project's
    project_id: ProjectId = Field(foreign_key="project.id", sa_type=String, index=True)
    machine_id: MachineId | None = Field(default=None, foreign_key="machine.id", sa_type=String)
    zone: str
    windows: list[dict[str, object]] = json_column(list)
    set_at_s: float
    next_edge_s: float | None = Field(default=None, index=True)
