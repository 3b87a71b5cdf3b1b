"""Organisations and their projects."""

from pydantic import Field

from catalog import tenancy
from catalog.errors import AlreadyExists, InvalidValue, NotFound
from catalog.model.tenancy import Organisation, Project
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Body, Name, Nothing, Reference, Resource, stamp
from gateway.api.endpoints import Call, Listing, Routes

routes = Routes("organisations")


class OrganisationIn(Body):
    """A new organisation."""

    name: Name


class OrganisationOut(Resource):
    """A company or department that owns projects."""

    name: str


class ProjectIn(Body):
    """A new project."""

    organisation: Reference
    name: Name


class ProjectOut(Resource):
    """Where people browse and order."""

    organisation: str
    name: str
    reference: str = Field(description="What people call it: `ORGANISATION/PROJECT`.")


@routes.endpoint(
    "POST",
    "/v1/organisations",
    permission="organisation:write",
    body=OrganisationIn,
    answer=OrganisationOut,
    status=201,
    location="/v1/organisations/{id}",
    errors=(AlreadyExists,),
    summary="Make an organisation",
)
def create_organisation(tx: Tx, call: Call[OrganisationIn]) -> OrganisationOut:
    """Return the new organisation."""
    return _organisation(tenancy.create_organisation(tx, name=call.body.name, now_s=call.now_s))


@routes.plain(
    "GET",
    "/v1/organisations",
    permission="organisation:read",
    answer=OrganisationOut,
    many=True,
    summary="List the organisations",
)
def list_organisations(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of organisations."""
    found = page(
        tx, Organisation, limit=call.limit, token=call.page_token, where=tenancy.organisations_of(tx, call.principal)
    )
    return Listing(items=[_organisation(row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/organisations/{ref}",
    permission="organisation:read",
    answer=OrganisationOut,
    summary="Show an organisation",
)
def get_organisation(tx: Tx, call: Call[Nothing]) -> OrganisationOut:
    """Return the organisation with this name or id."""
    return _organisation(tenancy.visible_organisation(tx, call.principal, call.path["ref"]))


@routes.endpoint(
    "POST",
    "/v1/projects",
    permission="project:write",
    body=ProjectIn,
    answer=ProjectOut,
    status=201,
    location="/v1/projects/{id}",
    errors=(AlreadyExists, InvalidValue, NotFound),
    summary="Make a project in an organisation",
)
def create_project(tx: Tx, call: Call[ProjectIn]) -> ProjectOut:
    """Return the new project."""
    tenancy.require_owned(tx, call.principal, call.body.organisation)
    made = tenancy.create_project(tx, organisation=call.body.organisation, name=call.body.name, now_s=call.now_s)
    return _project(tx, made)


@routes.plain(
    "GET",
    "/v1/projects",
    permission="project:read",
    answer=ProjectOut,
    many=True,
    filters={"organisation": "Only this organisation's, by name or id."},
    summary="List the projects",
)
def list_projects(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of projects."""
    wanted = call.filters.get("organisation")
    where: dict[str, object] = {} if call.scope.everything else {"id": call.scope.visible}
    if wanted is not None:
        where["organisation_id"] = tenancy.visible_organisation(tx, call.principal, wanted).id
    found = page(tx, Project, limit=call.limit, token=call.page_token, where=where)
    return Listing(items=[_project(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/projects/{project}", permission="project:read", answer=ProjectOut, summary="Show a project")
def get_project(tx: Tx, call: Call[Nothing]) -> ProjectOut:
    """Return the project with this id or reference (its slash written as %2F)."""
    return _project(tx, tenancy.visible_project(tx, call.scope, call.path["project"]))


def _organisation(row: Organisation) -> OrganisationOut:
    return OrganisationOut(**stamp(row), name=row.name)


def _project(tx: Tx, row: Project) -> ProjectOut:
    reference = tenancy.reference_to(tx, row)
    return ProjectOut(**stamp(row), organisation=row.organisation_id, name=row.name, reference=reference)
