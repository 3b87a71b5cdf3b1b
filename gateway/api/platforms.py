"""Platforms enrol once with a one-time token; admins and they themselves see them. The secret never comes out."""

from typing import Annotated, Any, Literal

from pydantic import Field

from catalog import addresses, consent, platforms
from catalog.access import owns
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound, WrongState
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId
from catalog.model.network import Site
from catalog.model.platform import Endpoint, Platform, Purpose
from catalog.platforms import EnrolmentRequest, Named
from catalog.store import rows
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import (
    AddressesFrom,
    Body,
    Composite,
    HostPort,
    Line,
    Name,
    Nothing,
    Options,
    Out,
    Pem,
    Reference,
    SecretIn,
    Url,
    Word,
    stamp,
)
from gateway.api.dispatch import SHOWN_ONCE, secret_of
from gateway.api.endpoints import Call, Door, Listing, Routes
from gateway.api.services import Wakes

routes = Routes("platforms")


class EndpointIn(Body):
    """Where a platform says it is reached; only what an admin approved is ever dialled."""

    url: Url
    ca_pem: Pem | None = None


Service = Literal["compute", "image", "network", "volume", "load-balancer", "dns", "object-storage"]
Services = Annotated[dict[Service, EndpointIn], Field(max_length=8)]


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
    services: Services = Field(
        default_factory=dict, description="Services that do not live under the host and port of `api`, by their kind."
    )
    # The catalog judges its form: what it says of a wrong one helps more than a pattern.
    public_key: Line = Field(default="", description="Base64 of 32 bytes, Ed25519: signs the connector's answers.")
    options: Options = Field(default_factory=dict, description="What the provider needs beyond this.")


class EndpointOut(Out):
    """A URL and whether an admin approved it."""

    purpose: str
    url: str
    dial: str
    dials_from: dict[str, str]
    has_ca: bool
    state: str


class PlatformOut(Composite):
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

    token: str | None = Field(
        description="Shown once; null when the request is repeated.", json_schema_extra=SHOWN_ONCE
    )


@routes.endpoint(
    "POST",
    "/v1/platforms",
    door=Door.ENROLMENT,
    body=PlatformIn,
    answer=NewPlatformOut,
    status=201,
    location="/v1/platforms/{id}",
    wakes=(Wakes.RELAYS,),
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
        check_account=call.services.check_account,
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
        services={Purpose(kind): Named(url=each.url, ca_pem=each.ca_pem) for kind, each in body.services.items()},
    )


@routes.plain(
    "GET", "/v1/platforms", permission="platform:read", answer=PlatformOut, many=True, summary="List the platforms"
)
def list_platforms(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of platforms: a platform sees itself, an admin all."""
    mine = {} if call.sees_all else {"id": call.principal.subject_id}
    found = page(tx, Platform, limit=call.limit, token=call.page_token, where=mine)
    return Listing(items=[_out(tx, row) for row in found.items], next_token=found.next_token)


@routes.plain("GET", "/v1/platforms/{ref}", permission="platform:read", answer=PlatformOut, summary="Show a platform")
def get_platform(tx: Tx, call: Call[Nothing]) -> PlatformOut:
    """Return the platform with this name or id."""
    return _out(tx, own_platform(tx, call))


@routes.plain(
    "DELETE",
    "/v1/platforms/{ref}",
    permission="platform:write",
    status=204,
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(WrongState,),
    summary="Retire a platform that nothing uses any more: its credential is deleted, tokens and grants revoked",
)
def retire_platform(tx: Tx, call: Call[Nothing]) -> None:
    """Disable the platform for good; what it did stays on record."""
    row = own_platform(tx, call)
    call.precondition.check(row)
    platforms.retire(tx, row.id, call.now_s)
    standing = (GrantState.GRANTED, GrantState.ACCEPTED, GrantState.SUSPENDED)
    for grant in rows.where(tx, Grant, platform_id=row.id, state=standing):
        consent.revoke(tx, GrantId(grant.id), call.now_s, "the platform was retired")


class SecretChange(Body):
    """The new secret of the primary account."""

    secret: SecretIn


@routes.endpoint(
    "PUT",
    "/v1/platforms/{ref}/secret",
    permission="platform:write",
    body=SecretChange,
    answer=PlatformOut,
    wakes=(Wakes.CONNECTIONS,),
    errors=(WrongState,),
    summary="Replace the primary account's secret",
)
def replace_secret(tx: Tx, call: Call[SecretChange]) -> PlatformOut:
    """Return the platform; the secret is used from the next call to its cloud."""
    row = own_platform(tx, call)
    call.precondition.check(row)
    secret = secret_of(call.body.secret)
    return _out(tx, platforms.replace_secret(tx, row.id, secret, call.services.sealer, call.now_s))


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
    wakes=(Wakes.CONNECTIONS, Wakes.RELAYS),
    errors=(InvalidValue, WrongState),
    summary="Approve an endpoint and the address to dial for it",
)
def approve_endpoint(tx: Tx, call: Call[ApprovalIn]) -> PlatformOut:
    """Return the platform with the endpoint approved."""
    row = own_platform(tx, call)
    if call.path["purpose"] not in set(Purpose):
        raise NotFound(f"there is no endpoint for '{call.path['purpose']}'", fix="one of " + ", ".join(Purpose))
    platforms.approve_endpoint(
        tx,
        row.id,
        Purpose(call.path["purpose"]),
        dial=addresses.address(call.body.dial, field="dial"),
        dials_from=call.body.dials_from,
        now_s=call.now_s,
    )
    return _out(tx, row)


def own_platform(tx: Tx, call: Call[Any]) -> Platform:
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
        endpoints=[_endpoint(found) for found in platforms.endpoints(tx, row.id)],
    )


def _endpoint(row: Endpoint) -> EndpointOut:
    return EndpointOut(
        purpose=row.purpose.value,
        url=row.url,
        dial=f"{row.dial_host}:{row.dial_port}" if row.dial_port else "",
        dials_from=row.dials_from,
        has_ca=row.ca_pem is not None,
        state=row.state.value,
    )
