"""Organisations and their projects: made, and found by what people call them, ``ORGANISATION/PROJECT``."""

from catalog import naming
from catalog.errors import InvalidValue, NotFound
from catalog.model.ids import OrganisationId, ProjectId, new_id
from catalog.model.tenancy import Organisation, Project
from catalog.store import rows
from catalog.store.database import Tx

_APART = "/"


def create_organisation(tx: Tx, *, name: str, now_s: float) -> Organisation:
    """Return the new organisation. Raises AlreadyExists for a name in use, InvalidValue for one outside the grammar."""
    fresh = Organisation(id=OrganisationId(new_id("organisation", now_s)), name=naming.name(name))
    return rows.insert(tx, fresh, now_s)


def create_project(tx: Tx, *, organisation: str, name: str, now_s: float) -> Project:
    """Return the new project of the organisation with this name or id.

    Raises AlreadyExists when that organisation has one of this name, InvalidValue for a name outside the grammar or an
    organisation that does not exist.
    """
    owner = naming.known(tx, Organisation, organisation, field="organisation")
    fresh = Project(id=ProjectId(new_id("project", now_s)), organisation_id=owner.id, name=naming.name(name))
    return rows.insert(tx, fresh, now_s)


def project(tx: Tx, reference: str) -> Project:
    """Return the project with this id or reference ``ORGANISATION/PROJECT``. Raises NotFound.

    A bare name finds nothing: whom it means would change when another organisation takes it too.
    """
    found = _project(tx, reference)
    if found is None:
        raise NotFound(f"there is no project '{reference}'", fix="ORGANISATION/PROJECT, or its id")
    return found


def known_project(tx: Tx, reference: str, *, field: str = "project") -> Project:
    """Return the same. Raises InvalidValue naming the field: the project is part of something else."""
    found = _project(tx, reference)
    if found is None:
        raise InvalidValue(f"there is no project '{reference}'", field=field, fix="ORGANISATION/PROJECT, or its id")
    return found


def reference_to(tx: Tx, row: Project) -> str:
    """Return what people call the project: ``ORGANISATION/PROJECT``."""
    return f"{rows.by_id(tx, Organisation, row.organisation_id).name}{_APART}{row.name}"


def _project(tx: Tx, reference: str) -> Project | None:
    organisation, apart, name = reference.partition(_APART)
    if not apart:
        return rows.find(tx, Project, reference)
    owner = rows.first(tx, Organisation, name=organisation)
    return None if owner is None else rows.first(tx, Project, organisation_id=owner.id, name=name)
