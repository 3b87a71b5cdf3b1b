"""Who the gateway serves: organisations, and the projects in which their people work."""

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import OrganisationId, ProjectId
from catalog.model.rows import Row


class Organisation(Row, table=True):
    """A company or department; it owns projects and nothing else, and sees nothing of another's."""

    id: OrganisationId = Field(primary_key=True, sa_type=String)
    name: str = Field(unique=True)


class Project(Row, table=True):
    """Where people browse and order; everything that was ordered carries this id. Names are an organisation's own."""

    __table_args__ = (UniqueConstraint("organisation_id", "name"),)

    id: ProjectId = Field(primary_key=True, sa_type=String)
    organisation_id: OrganisationId = Field(foreign_key="organisation.id", sa_type=String, index=True)
    name: str
