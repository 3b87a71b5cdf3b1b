"""Whom a rule is for: a project, or an organisation with all its projects. One word for both: its holder."""

from dataclasses import dataclass
from enum import StrEnum

from catalog import tenancy
from catalog.errors import NotFound
from catalog.model.ids import OrganisationId, ProjectId
from catalog.model.tenancy import Organisation, Project
from catalog.store import rows
from catalog.store.database import Tx


class HolderKind(StrEnum):
    """What a holder is."""

    PROJECT = "project"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A project or organisation; ``reference`` is what people call it: ORGANISATION/PROJECT, or a bare name."""

    kind: HolderKind
    id: str
    reference: str

    def __str__(self) -> str:
        """Return it as it stands in a sentence."""
        return f"{self.kind} {self.reference}"

    @property
    def project_id(self) -> ProjectId | None:
        """Return the project's id, None for an organisation."""
        return ProjectId(self.id) if self.kind is HolderKind.PROJECT else None


def holder(tx: Tx, reference: str) -> Holder:
    """Return the project (by ORGANISATION/PROJECT or its id) or organisation (by name or id). Raises NotFound."""
    if "/" in reference or rows.find(tx, Project, reference) is not None:
        return _project(tx, tenancy.project(tx, reference))
    try:
        return _organisation(rows.by_name_or_id(tx, Organisation, reference))
    except NotFound:
        fix = "ORGANISATION/PROJECT, an organisation, or an id"
        raise NotFound(f"there is no project or organisation '{reference}'", fix=fix) from None


def holders_of(tx: Tx, project_id: ProjectId) -> tuple[Holder, Holder]:
    """Return whose rules hold in the project: its own, then its organisation's."""
    project = rows.by_id(tx, Project, project_id)
    return _project(tx, project), _organisation(rows.by_id(tx, Organisation, project.organisation_id))


def projects_of(tx: Tx, whose: Holder) -> frozenset[ProjectId]:
    """Return the ids of the projects that ``whose`` rules hold in."""
    if whose.project_id is not None:
        return frozenset({whose.project_id})
    return frozenset(row.id for row in rows.where(tx, Project, organisation_id=OrganisationId(whose.id)))


def _project(tx: Tx, row: Project) -> Holder:
    return Holder(kind=HolderKind.PROJECT, id=row.id, reference=tenancy.reference_to(tx, row))


def _organisation(row: Organisation) -> Holder:
    return Holder(kind=HolderKind.ORGANISATION, id=row.id, reference=row.name)
