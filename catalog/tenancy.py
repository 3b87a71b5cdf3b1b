"""Organisations and their projects: made, and found by what people call them, ``ORGANISATION/PROJECT``."""

from collections.abc import Mapping

from catalog import naming
from catalog.access import Principal, Scope, scope
from catalog.errors import Denied, InvalidValue, NotFound
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


def visible_project(tx: Tx, reach: Scope, reference: str) -> Project:
    """Return the project if it exists for whom ``reach`` was made. Raises NotFound, for a rival's as for none."""
    found = _project(tx, reference)
    if found is None or not (reach.everything or found.id in reach.visible):
        raise NotFound(f"there is no project '{reference}'", fix="ORGANISATION/PROJECT, or its id")
    return found


def working_project(tx: Tx, principal: Principal, permission: str, reference: str | None) -> ProjectId:
    """Return the id of the project in which the principal does what ``permission`` allows: the named or only one.

    Raises InvalidValue when it has several and names none, or when there is none to it by that name; Denied when its
    role there does not include this.
    """
    reach = scope(principal, permission)
    if reference is not None:
        named = _project(tx, reference)
        if named is None or named.id not in reach.visible:
            raise InvalidValue(
                f"there is no project '{reference}'", field="project", fix="ORGANISATION/PROJECT, or its id"
            )
        if named.id not in reach.projects:
            raise Denied("your role in this project does not include this", fix="ask an owner of the project")
        return named.id
    if len(reach.projects) != 1:
        fix = "one of " + ", ".join(sorted(reference_to(tx, rows.by_id(tx, Project, each)) for each in reach.projects))
        raise InvalidValue("you work in several projects, name one", field="project", fix=fix)
    return next(iter(reach.projects))


def visible_organisation(tx: Tx, principal: Principal, reference: str) -> Organisation:
    """Return the organisation with this name or id if it exists for the principal. Raises NotFound."""
    found = rows.first(tx, Organisation, name=reference) or rows.find(tx, Organisation, reference)
    seen = organisations_of(tx, principal).get("id")
    if found is None or (seen is not None and found.id not in seen):
        raise NotFound(f"there is no organisation '{reference}'")
    return found


def organisations_of(tx: Tx, principal: Principal) -> Mapping[str, frozenset[OrganisationId]]:
    """Return which organisations exist for the principal, as column values: those it owns or works in."""
    if scope(principal, "organisation:read").everything:
        return {}
    worked_in = {rows.by_id(tx, Project, each).organisation_id for each in principal.works_in}
    return {"id": principal.owned | worked_in}


def require_owned(tx: Tx, principal: Principal, reference: str) -> None:
    """Raise NotFound for an organisation that does not exist for the principal, Denied for one that it does not own."""
    found = visible_organisation(tx, principal, reference)
    if not scope(principal, "project:write").everything and found.id not in principal.owned:
        raise Denied("only its owner makes projects in an organisation", fix="ask an owner of the organisation")


def reference_to(tx: Tx, row: Project) -> str:
    """Return what people call the project: ``ORGANISATION/PROJECT``."""
    return f"{rows.by_id(tx, Organisation, row.organisation_id).name}{_APART}{row.name}"


def _project(tx: Tx, reference: str) -> Project | None:
    organisation, apart, name = reference.partition(_APART)
    if not apart:
        return rows.find(tx, Project, reference)
    owner = rows.first(tx, Organisation, name=organisation)
    return None if owner is None else rows.first(tx, Project, organisation_id=owner.id, name=name)
