"""Platforms: enrolled once with a one-time token, seen by admins and by themselves; the secret goes in and never out."""

from typing import Any, Literal

from pydantic import Field

from catalog import access, addresses, platforms
from catalog.access import owns
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound, WrongState
from catalog.model.ids import PlatformId
from catalog.model.network import Site
from catalog.model.platform import Endpoint as EndpointRow
from catalog.model.platform import Platform, Purpose
from catalog.platforms import EnrolmentRequest
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import (
    AddressesFrom,
    Body,
    HostPort,
    Lifetime,
    Line,
    Name,
    Nothing,
    Options,
    Out,
    Pem,
    PublicKey,
    Reference,
    Resource,
    SecretIn,
    Time,
    Url,
    Word,
    stamp,
)
from gateway.api.dispatch import SHOWN_ONCE, secret_of
from gateway.api.endpoints import Call, Door, Listing, Routes
from gateway.api.services import Wakes

routes = Routes("platforms")


class ApprovedEndpointIn(Body):
    """An endpoint that an admin approves ahead: this URL is reached at this address, and nowhere else."""

    purpose: Literal["api", "connector"]
    url: Url
    dial: HostPort = Field(description="`host:port` to dial at the end of the tunnel.")
    dials_from: AddressesFrom = Field(default_factory=dict, description="Site name -> `host:port`, where it differs.")
    ca_pem: Pem | None = Field(default=None, description="The only authority trusted for it, when given.")


class EnrolmentIn(Body):
    """A one-time permission for one platform to enrol."""

    platform_name: Name
    endpoints: list[ApprovedEndpointIn] = Field(max_length=2)
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it expires; absent: one day.")


class EnrolmentOut(Out):
    """The permission and its token."""

    id: str
    platform_name: str
    token: str | None = Field(description="Shown once; null when the request is repeated.", json_schema_extra=SHOWN_ONCE)
    expires_at: Time


@routes.endpoint(
    "POST",
    "/v1/enrolments",
    permission="enrolment:write",
    body=EnrolmentIn,
    answer=EnrolmentOut,
    status=201,
    errors=(AlreadyExists, InvalidValue),
    summary="Permit one platform to enrol, once",
)
def create_enrolment(tx: Tx, call: Call[EnrolmentIn]) -> EnrolmentOut:
    """Return the permission with its token."""
    row, text = access.create_enrolment(
        tx,
        platform_name=call.body.platform_name,
        endpoints=[endpoint.model_dump() for endpoint in call.body.endpoints],
        ttl_s=call.body.ttl_s,
        now_s=call.now_s,
    )
    return EnrolmentOut(id=row.id, platform_name=row.platform_name, token=text, expires_at=row.expires_at_s)


class EndpointIn(Body):
    """Where a platform says it is reached; only what an admin approved is ever dialled."""

    url: Url
    ca_pem: Pem | None = None


class PlatformIn(Body):
    """A platform's own description of itself."""

    name: Name
    provider: Name
    site: Reference
    region: Line = ""
    account: Word = Field(description="The primary account: user name or access key id.")
    secret: SecretIn = Field(description="Its password or secret key. Sealed at once; no answer ever holds it.")
    api: EndpointIn
    connector: EndpointIn | None = None
    public_key: PublicKey | Literal[""] = Field(default="", description="Base64 Ed25519: signs the connector's answers.")
    options: Options = Field(default_factory=dict, description="What the provider needs beyond this.")


class EndpointOut(Out):
    """A URL and whether an admin approved it."""

    purpose: str
    url: str
    dial: str
    dials_from: dict[str, str]
    has_ca: bool
    state: str


class PlatformOut(Resource):
    """A cloud under one primary account."""

    name: str
    provider: str
    site: str
    region: str
    account: str
    public_key: str
    options: dict[str, str]
    enabled: bool
    endpoints: list[EndpointOut]


class NewPlatformOut(PlatformOut):
    """A platform that has just enrolled, with the token by which it calls from now on."""

    token: str | None = Field(description="Shown once; null when the request is repeated.", json_schema_extra=SHOWN_ONCE)


@routes.endpoint(
    "POST",
    "/v1/platforms",
    door=Door.ENROLMENT,
    body=PlatformIn,
    answer=NewPlatformOut,
    status=201,
    location="/v1/platforms/{id}",
    errors=(AlreadyExists, Denied, InvalidValue),
    summary="Enrol, with the enrolment token as bearer",
)
def enrol_platform(tx: Tx, call: Call[PlatformIn]) -> NewPlatformOut:
    """Return the enrolled platform with its token; the enrolment token is used up."""
    assert call.enrolment is not None
    row, text = platforms.enrol(
        tx,
        token_text=call.enrolment.reveal(),
        request=_request(call.body),
        sealer=call.services.sealer,
        known_providers=call.services.known_providers,
        now_s=call.now_s,
    )
    return NewPlatformOut(**dict(_out(tx, row)), token=text)


def _request(body: PlatformIn) -> EnrolmentRequest:
    return EnrolmentRequest(
        name=body.name,
        provider=body.provider,
        site=body.site,
        region=body.region,
        account=body.account,
        secret=secret_of(body.secret),
        api_url=body.api.url,
        api_ca_pem=body.api.ca_pem,
        connector_url=body.connector.url if body.connector else None,
        connector_ca_pem=body.connector.ca_pem if body.connector else None,
        public_key=body.public_key,
        options=body.options,
    )


@routes.plain(
    "GET", "/v1/platforms", permission="platform:read", answer=PlatformOut, many=True, summary="List the platforms"
)
def list_platforms(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of platforms: a platform sees itself, an admin all."""
    mine = {} if call.is_admin else {"id": call.principal.subject_id}
    found = page(tx, Platform, limit=call.limit, token=call.page_token, where=mine)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain(
    "GET", "/v1/platforms/{ref}", permission="platform:read", answer=PlatformOut, summary="Show a platform"
)
def get_platform(tx: Tx, call: Call[Nothing]) -> PlatformOut:
    """Return the platform with this name or id."""
    return _out(tx, _own(tx, call))


@routes.plain(
    "DELETE",
    "/v1/platforms/{ref}",
    permission="platform:write",
    status=204,
    wakes=(Wakes.ESTABLISH,),
    errors=(WrongState,),
    summary="Remove a platform that nothing uses any more, with its credential and tokens",
)
def remove_platform(tx: Tx, call: Call[Nothing]) -> None:
    """Remove the platform."""
    row = _own(tx, call)
    call.precondition.check(row)
    platforms.remove(tx, PlatformId(row.id), call.now_s)


class SecretChange(Body):
    """The new secret of the primary account."""

    secret: SecretIn


@routes.endpoint(
    "PUT",
    "/v1/platforms/{ref}/secret",
    permission="platform:write",
    body=SecretChange,
    answer=PlatformOut,
    wakes=(Wakes.ESTABLISH,),
    summary="Replace the primary account's secret",
)
def replace_secret(tx: Tx, call: Call[SecretChange]) -> PlatformOut:
    """Return the platform; the secret is used from the next call to its cloud."""
    row = _own(tx, call)
    call.precondition.check(row)
    platforms.replace_secret(
        tx, PlatformId(row.id), secret_of(call.body.secret), sealer=call.services.sealer, now_s=call.now_s
    )
    return _out(tx, row)


class ApprovalIn(Body):
    """Where the gateway shall dial for this URL."""

    dial: HostPort
    dials_from: AddressesFrom = Field(default_factory=dict)


@routes.endpoint(
    "POST",
    "/v1/platforms/{ref}/endpoints/{purpose}/approve",
    permission="platform:approve",
    body=ApprovalIn,
    answer=PlatformOut,
    wakes=(Wakes.ESTABLISH,),
    errors=(InvalidValue, WrongState),
    summary="Approve an endpoint and the address to dial for it",
)
def approve_endpoint(tx: Tx, call: Call[ApprovalIn]) -> PlatformOut:
    """Return the platform with the endpoint approved."""
    row = _own(tx, call)
    if call.path["purpose"] not in set(Purpose):
        raise NotFound(f"there is no endpoint for '{call.path['purpose']}'", fix="api or connector")
    platforms.approve_endpoint(
        tx,
        PlatformId(row.id),
        Purpose(call.path["purpose"]),
        dial=addresses.address(call.body.dial, field="dial"),
        dials_from=call.body.dials_from,
        now_s=call.now_s,
    )
    return _out(tx, row)


def _own(tx: Tx, call: Call[Any]) -> Platform:
    """Return the platform of the path. To another platform it does not exist, whatever its name."""
    row = rows.by_name_or_id(tx, Platform, call.path["ref"])
    if not owns(call.principal, row.id):
        raise NotFound(f"there is no platform '{call.path['ref']}'")
    return row


def _out(tx: Tx, row: Platform) -> PlatformOut:
    return PlatformOut(
        **stamp(row),
        name=row.name,
        provider=row.provider,
        site=rows.by_id(tx, Site, row.site_id).name,
        region=row.region,
        account=row.account,
        public_key=row.public_key,
        options=row.options,
        enabled=row.enabled,
        endpoints=[_endpoint(found) for found in rows.where(tx, EndpointRow, platform_id=row.id)],
    )


def _endpoint(row: EndpointRow) -> EndpointOut:
    return EndpointOut(
        purpose=row.purpose.value,
        url=row.url,
        dial=f"{row.dial_host}:{row.dial_port}" if row.dial_port else "",
        dials_from=row.dials_from,
        has_ca=row.ca_pem is not None,
        state=row.state.value,
    )
