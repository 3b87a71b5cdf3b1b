"""Platforms: enrolment with a one-time token, approved endpoints, the sealed credential and what a driver gets of it.

A platform's own word never decides where the gateway connects to: it may name URLs, an admin approves them together
with the address to dial. A credential is sealed before its row exists.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from catalog import addresses, enrolments, naming
from catalog.clouds import CloudAccount
from catalog.errors import Denied, InvalidValue, NotFound, WrongState
from catalog.model.access import Enrolment, Role
from catalog.model.ids import CredentialId, EndpointId, PlatformId, new_id
from catalog.model.network import Site
from catalog.model.platform import SERVICES, Endpoint, EndpointState, Platform, Purpose, SealedCredential
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import SealedValue, Sealer, Secret
from catalog.store import connections, platforms, principals, rows
from catalog.store.database import Tx
from catalog.tokens import issue_token

log = logging.getLogger(__name__)

SECRET_NAME = "secret"  # noqa: S105 the name of the field, not its value
_SECRET_LENGTH = 16_384
_OPTIONS = 32
_KEY_BYTES = 32

# Judges (provider, region, options) before anything is stored; raises InvalidValue naming the field.
AccountCheck = Callable[[str, str, Mapping[str, str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A URL that a platform's owner names, and the authority that it says proves it, if not the system's."""

    url: str
    ca_pem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRequest:
    """What a platform's owner says at enrolment. ``site`` is the site's name; ``options`` are the driver's to judge.

    ``services`` are the URLs of services that do not live under the host and port of ``api_url``.
    """

    name: str
    provider: str
    site: str
    account: str
    secret: Secret
    api_url: str
    region: str = ""
    api_ca_pem: str | None = None
    connector_url: str | None = None
    connector_ca_pem: str | None = None
    public_key: str = ""  # base64 of 32 bytes, Ed25519
    options: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[Purpose, Named] = field(default_factory=dict)


def accept_any(provider: str, region: str, options: Mapping[str, str]) -> None:
    """Judge nothing; an AccountCheck."""


def enrol(
    tx: Tx,
    *,
    token_text: str,
    request: EnrolmentRequest,
    sealer: Sealer,
    known_providers: Collection[str],
    check_account: AccountCheck = accept_any,
    now_s: float,
) -> tuple[Platform, str]:
    """Return the new platform and the text of its own token; the enrolment token is used up in the same transaction.

    An endpoint whose URL an admin approved is APPROVED with the admin's dial address, any other PROPOSED. Raises
    Denied for a token that is not valid or is another platform's, InvalidValue naming the field, AlreadyExists for a
    name in use; after any of them the token is as it was. ``check_account`` knows what each provider can be told.
    """
    enrolment = enrolments.use_enrolment(tx, token_text, now_s)
    if request.name != enrolment.platform_name:
        raise Denied("the enrolment token is for a platform of another name", field="name")
    if request.provider not in known_providers:
        fix = "one of " + ", ".join(sorted(known_providers))
        raise InvalidValue("there is no such cloud provider", field="provider", fix=fix)
    check_account(request.provider, request.region, request.options)
    platform = Platform(
        id=PlatformId(new_id("platform", now_s)),
        name=naming.name(request.name),
        provider=request.provider,
        site_id=naming.known(tx, Site, request.site, field="site").id,
        region=naming.label(request.region, field="region", empty=True),
        account=naming.label(request.account, field="account"),
        public_key=_public_key(request),
        options=_options(request.options),
    )
    rows.insert(tx, platform, now_s)
    for named in _named(platform, request):
        rows.insert(tx, _as_approved(named, enrolment), now_s)
    _put_secret(tx, platform.id, request.secret, sealer, now_s)
    _, text = issue_token(tx, role=Role.PLATFORM, name=f"platform {platform.name}", subject_id=platform.id, now_s=now_s)
    log.info("platform enrolled", extra={"platform": platform.name, "provider": platform.provider})
    return platform, text


def approve_endpoint(
    tx: Tx,
    platform_id: str,
    purpose: Purpose,
    *,
    dial: Address,
    dials_from: Mapping[str, str] | None = None,
    now_s: float,
) -> Endpoint:
    """Approve the platform's URL for ``purpose``, to be reached at ``dial`` (or ``dials_from[site]`` from there).

    Raises NotFound when the platform named no such URL, InvalidValue for an address outside the grammar, WrongState
    for a retired platform.
    """
    platform = _in_use(rows.by_name_or_id(tx, Platform, platform_id))
    endpoint = rows.first(tx, Endpoint, platform_id=platform.id, purpose=purpose)
    if endpoint is None:
        raise NotFound(f"platform '{platform.name}' has no endpoint for '{purpose}'", field="purpose")
    changes = {
        "dial_host": addresses.host(dial.host, field="dial"),
        "dial_port": addresses.port(dial.port, field="dial"),
        "dials_from": naming.by_site(dials_from or {}, field="dials_from"),
        "state": EndpointState.APPROVED,
    }
    return rows.update(tx, endpoint, changes, now_s)


def replace_secret(tx: Tx, platform_id: str, secret: Secret, sealer: Sealer, now_s: float) -> Platform:
    """Put ``secret`` in the place of the account's present one, which is gone then. Returns the platform, changed.

    Raises WrongState for a retired platform: nobody may keep a credential for it.
    """
    platform = _in_use(rows.by_name_or_id(tx, Platform, platform_id))
    _put_secret(tx, platform.id, secret, sealer, now_s)
    return rows.update(tx, platform, {}, now_s)


def cloud_account(tx: Tx, platform_id: str, sealer: Sealer) -> CloudAccount:
    """Return what a driver needs to log in at the platform.

    Raises WrongState when the platform is disabled or no admin approved its API endpoint, SealBroken, NotFound.
    """
    platform = rows.by_id(tx, Platform, platform_id)
    if not platform.enabled:
        raise WrongState(f"platform '{platform.name}' is disabled", field="platform")
    endpoint = _approved(tx, platform.id, Purpose.API)
    if endpoint is None:
        raise WrongState(
            f"no admin approved the API endpoint of platform '{platform.name}'",
            field="endpoint",
            fix="an admin approves it with the address to dial",
        )
    held = rows.first(tx, SealedCredential, platform_id=platform.id, name=SECRET_NAME)
    if held is None:
        raise WrongState(f"platform '{platform.name}' has no credential", field="secret", fix="give it one")
    return CloudAccount(
        platform=platform.id,
        provider=platform.provider,
        region=platform.region,
        endpoint=endpoint,
        account=platform.account,
        secret=sealer.open(_sealed(held), owner=platform.id, name=held.name),
        options=dict(platform.options),
        services=tuple(found for purpose in SERVICES if (found := _approved(tx, platform.id, purpose)) is not None),
    )


def connector_endpoint(tx: Tx, platform_id: str) -> ApprovedEndpoint | None:
    """Return where the platform's connector is reached, None when it has none or no admin approved it."""
    return _approved(tx, PlatformId(platform_id), Purpose.CONNECTOR)


def endpoints(tx: Tx, platform_id: str) -> list[Endpoint]:
    """Return the platform's endpoints, approved or not: ``api`` first."""
    found = rows.where(tx, Endpoint, platform_id=platform_id)
    return sorted(found, key=lambda endpoint: list(Purpose).index(endpoint.purpose))


def retire(tx: Tx, platform_id: str, now_s: float, expected_version: int | None = None) -> Platform:
    """Disable the platform for good: its credential is deleted, its tokens are revoked; its history stays.

    Raises WrongState while a connection is open or a machine there is not gone, Stale when it moved on.
    """
    platform = rows.by_name_or_id(tx, Platform, platform_id)
    if connections.of_platform(tx, platform.id):
        raise WrongState("the platform has open connections", fix="close them first")
    if platforms.has_machines(tx, platform.id):
        raise WrongState("the platform has machines that are not gone", fix="destroy or release them first")
    for held in rows.where(tx, SealedCredential, platform_id=platform.id):
        rows.delete(tx, held)
    principals.revoke_all_of_platform(tx, platform.id, now_s)
    return rows.update(tx, platform, {"enabled": False}, now_s, expected_version)


def reseal_all(tx: Tx, sealer: Sealer, now_s: float) -> int:
    """Seal every credential that is under an older key under the current one, and return how many there were."""
    older = [held for held in rows.where(tx, SealedCredential) if not sealer.is_current(_sealed(held))]
    for held in older:
        value = sealer.reseal(_sealed(held), owner=held.platform_id, name=held.name)
        rows.update(tx, held, {"key_id": value.key_id, "sealed": value.sealed}, now_s)
    return len(older)


def _in_use(platform: Platform) -> Platform:
    if not platform.enabled:
        raise WrongState(f"platform '{platform.name}' is retired", field="platform", fix="enrol another")
    return platform


def _approved(tx: Tx, platform_id: PlatformId, purpose: Purpose) -> ApprovedEndpoint | None:
    endpoint = rows.first(tx, Endpoint, platform_id=platform_id, purpose=purpose, state=EndpointState.APPROVED)
    if endpoint is None:
        return None
    dial = Address(host=endpoint.dial_host, port=endpoint.dial_port)
    return ApprovedEndpoint(url=endpoint.url, dial=dial, ca_pem=endpoint.ca_pem)


def _named(platform: Platform, request: EnrolmentRequest) -> list[Endpoint]:
    """Return the endpoints that the platform's owner names, none of them approved."""
    if not set(SERVICES) >= set(request.services):
        raise InvalidValue("this is no service", field="services", fix=", ".join(SERVICES))
    told = (
        (Purpose.API, request.api_url, request.api_ca_pem),
        (Purpose.CONNECTOR, request.connector_url, request.connector_ca_pem),
        *((purpose, named.url, named.ca_pem) for purpose, named in request.services.items()),
    )
    return [
        Endpoint(
            id=EndpointId(new_id("endpoint", platform.created_at_s)),
            platform_id=platform.id,
            purpose=purpose,
            url=addresses.url(url, field=f"{purpose}.url"),
            ca_pem=None if ca_pem is None else addresses.authority(ca_pem, field=f"{purpose}.ca_pem"),
        )
        for purpose, url, ca_pem in told
        if url is not None
    ]


def _as_approved(endpoint: Endpoint, enrolment: Enrolment) -> Endpoint:
    """Return ``endpoint``, APPROVED with the admin's dial address when the enrolment holds exactly its URL."""
    named = (endpoint.purpose, endpoint.url)
    approved = next((each for each in enrolment.endpoints if (each["purpose"], each["url"]) == named), None)
    if approved is None:
        if not endpoint.url.startswith("https://"):
            field = f"{endpoint.purpose}.url"
            raise InvalidValue("an admin must approve a URL without TLS beforehand", field=field, fix="https://")
        return endpoint
    dial = addresses.address(str(approved["dial"]), field="dial")
    endpoint.dial_host, endpoint.dial_port = dial.host, dial.port
    endpoint.dials_from = naming.by_site(approved["dials_from"], field="dials_from")
    # The admin's authority, when there is one, is the only one: the platform's word does not add another.
    endpoint.ca_pem = endpoint.ca_pem if approved["ca_pem"] is None else str(approved["ca_pem"])
    endpoint.state = EndpointState.APPROVED
    return endpoint


def _public_key(request: EnrolmentRequest) -> str:
    if not request.public_key and request.connector_url is None:
        return ""
    try:
        raw = base64.b64decode(request.public_key, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        fix = "base64 of the connector's 32-byte Ed25519 public key"
        raise InvalidValue("a connector's answers need a key to be checked with", field="public_key", fix=fix)
    return request.public_key


def _options(options: Mapping[str, str]) -> dict[str, str]:
    if len(options) > _OPTIONS:
        raise InvalidValue(f"there are more than {_OPTIONS} options", field="options")
    return {name: naming.label(text, field=f"options.{name}") for name, text in options.items()}


def _put_secret(tx: Tx, platform_id: PlatformId, secret: Secret, sealer: Sealer, now_s: float) -> None:
    text = secret.reveal()
    if not 0 < len(text) <= _SECRET_LENGTH or "\0" in text:
        raise InvalidValue("this is no secret", field="secret", fix=f"1 to {_SECRET_LENGTH} characters, no NUL")
    value = sealer.seal(secret, owner=platform_id, name=SECRET_NAME)
    held = rows.first(tx, SealedCredential, platform_id=platform_id, name=SECRET_NAME)
    if held is not None:
        rows.update(tx, held, {"key_id": value.key_id, "sealed": value.sealed}, now_s)
        return
    credential = SealedCredential(
        id=CredentialId(new_id("credential", now_s)),
        platform_id=platform_id,
        name=SECRET_NAME,
        key_id=value.key_id,
        sealed=value.sealed,
    )
    rows.insert(tx, credential, now_s)


def _sealed(held: SealedCredential) -> SealedValue:
    return SealedValue(key_id=held.key_id, sealed=held.sealed)
