"""Who may do what: tokens, principals, and one table from permission to roles; what is not in it is denied.

A token's text is random and shown once; only its SHA-256 is kept, which is enough because nobody guesses 256 bits.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog import addresses, naming
from catalog.errors import Denied, InvalidValue
from catalog.model.access import Enrolment, Role, Token
from catalog.model.ids import TokenId, new_id
from catalog.model.platform import Platform, Purpose
from catalog.model.tenancy import Project
from catalog.store import principals, rows
from catalog.store.database import Tx

ENROLMENT_TTL_S = 24 * 3600.0
_TOKEN_BYTES = 32  # 43 URL-safe characters

_ALL = frozenset(Role)
_ADMIN = frozenset({Role.ADMIN})
_PLATFORM = frozenset({Role.ADMIN, Role.PLATFORM})
_MEMBER = frozenset({Role.ADMIN, Role.MEMBER})

# A role beside ADMIN may act on its own things only: see ``owns``.
PERMISSIONS: Mapping[str, frozenset[Role]] = {
    "self:read": _ALL,
    "event:read": _ALL,
    "webhook:read": _ALL,
    "webhook:write": _ALL,
    "audit:read": _ADMIN,
    "audit:sign": _ADMIN,
    "catalog:read": _ALL,
    "catalog:write": _ADMIN,
    "search:write": _ALL,
    "organisation:read": _ADMIN,
    "organisation:write": _ADMIN,
    "project:read": _ADMIN,
    "project:write": _ADMIN,
    "token:read": _ADMIN,
    "token:write": _ADMIN,
    "enrolment:read": _ADMIN,
    "enrolment:write": _ADMIN,
    "network:read": _ADMIN,
    "network:write": _ADMIN,
    "weights:read": _ADMIN,
    "weights:write": _ADMIN,
    "price:read": _ADMIN,
    "price:write": _ADMIN,
    "quota:read": _MEMBER,
    "quota:write": _ADMIN,
    "pool:read": _ADMIN,
    "pool:write": _ADMIN,
    "background:read": _ADMIN,
    "metrics:read": _ADMIN,
    "platform:read": _PLATFORM,
    "platform:write": _PLATFORM,
    # Where the gateway may connect to is never the platform's own word.
    "platform:approve": _ADMIN,
    # What a relay gave to a connector that dialled out is its platform's to say; at which relay, an admin's.
    "exit:read": _PLATFORM,
    "exit:announce": _PLATFORM,
    "connection:read": _PLATFORM,
    "connection:write": _PLATFORM,
    # Consent is the target owner's alone: an admin who could give it would make it worthless.
    "connection:consent": frozenset({Role.PLATFORM}),
    "grant:read": _PLATFORM,
    "grant:revoke": _PLATFORM,
    "grant:write": _ADMIN,
    # Tenants are not among them: a native session shows the whole account, other tenants' machines included.
    "passage:read": _PLATFORM,
    "passage:open": _PLATFORM,
    "passage:close": _PLATFORM,
    "order:read": _MEMBER,
    "order:write": frozenset({Role.MEMBER}),
    "order:cancel": _MEMBER,
    "machine:read": _MEMBER,
    "machine:write": _MEMBER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling: ``subject_id`` is the project or platform that the token speaks for, empty for an admin."""

    role: Role
    subject_id: str
    token_id: TokenId
    name: str


def require(principal: Principal, permission: str) -> None:
    """Raise Denied unless the principal's role has ``permission``; an unknown permission is nobody's."""
    if principal.role not in PERMISSIONS.get(permission, frozenset()):
        may = " or ".join(sorted(role.value for role in PERMISSIONS.get(permission, ())))
        raise Denied(
            f"a token of role '{principal.role.value}' may not do this",
            detail=permission,
            fix=f"a token of role {may}" if may else None,
        )


def owns(principal: Principal, *subject_ids: str | None) -> bool:
    """Return whether the principal may see things of these projects or platforms: an admin all, others their own."""
    return principal.role is Role.ADMIN or (bool(principal.subject_id) and principal.subject_id in subject_ids)


def issue_token(
    tx: Tx,
    *,
    role: Role,
    name: str,
    subject_id: str = "",
    ttl_s: float | None = None,
    now_s: float,
) -> tuple[Token, str]:
    """Return a new token and its text, which nobody can show again; ``ttl_s`` None means until revoked.

    Raises NotFound when ``subject_id`` is no project (or platform) for that role, InvalidValue for a bad ttl or name.
    """
    _check_subject(tx, role, subject_id)
    text = _text(role.value)
    token = Token(
        id=TokenId(new_id("token", now_s)),
        digest=digest(text),
        role=role,
        name=naming.label(name, field="name"),
        subject_id=subject_id,
        expires_at_s=None if ttl_s is None else now_s + _positive(ttl_s),
    )
    return rows.insert(tx, token, now_s), text


def authenticate(tx: Tx, text: str, now_s: float) -> Principal | None:
    """Return who ``text`` speaks for; None when it is unknown, expired or revoked, without saying which."""
    token = rows.first(tx, Token, digest=digest(text))
    if token is None or not is_valid(token, now_s):
        return None
    return Principal(role=token.role, subject_id=token.subject_id, token_id=token.id, name=token.name)


def is_valid(token: Token | None, now_s: float) -> bool:
    """Return whether ``token`` exists and is neither revoked nor expired."""
    return token is not None and token.revoked_at_s is None and not _over(token.expires_at_s, now_s)


def revoke_token(tx: Tx, token_id: str, now_s: float) -> Token:
    """Make the token worthless from now on, and return it; revoking again changes nothing. Raises NotFound."""
    token = rows.by_id(tx, Token, token_id)
    if token.revoked_at_s is not None:
        return token
    return rows.update(tx, token, {"revoked_at_s": now_s}, now_s)


def create_enrolment(
    tx: Tx,
    *,
    platform_name: str,
    endpoints: Sequence[Mapping[str, object]],
    ttl_s: float | None = None,
    now_s: float,
) -> tuple[Enrolment, str]:
    """Return a permission for one platform to enrol once, and its text.

    Each of ``endpoints`` is {"purpose", "url", "dial", "dials_from"?, "ca_pem"?}; what stands here is approved, an
    ``http`` URL included. Raises InvalidValue naming the field, AlreadyExists when the platform's name is taken.
    """
    naming.name(platform_name, field="platform_name")
    naming.refuse_taken(tx, Platform, platform_name, field="platform_name")
    approved = [_approved(index, endpoint) for index, endpoint in enumerate(endpoints)]
    if len({endpoint["purpose"] for endpoint in approved}) < len(approved):
        raise InvalidValue("each purpose may be approved once", field="endpoints", fix="one 'api', one 'connector', …")
    text = _text("enrol")
    enrolment = Enrolment(
        id=TokenId(new_id("enrolment", now_s)),
        digest=digest(text),
        platform_name=platform_name,
        endpoints=approved,
        expires_at_s=now_s + _positive(ENROLMENT_TTL_S if ttl_s is None else ttl_s),
    )
    return rows.insert(tx, enrolment, now_s), text


def use_enrolment(tx: Tx, text: str, now_s: float) -> Enrolment:
    """Return the enrolment of ``text`` and use it up, in the transaction of what it is used for.

    Raises Denied when it is unknown, expired or used, without saying which.
    """
    enrolment = rows.first(tx, Enrolment, digest=digest(text))
    if enrolment is None or _over(enrolment.expires_at_s, now_s) or not principals.use_up(tx, enrolment, now_s):
        raise Denied("the enrolment token is not valid", fix="ask an admin of the gateway for a new one")
    return enrolment


def digest(text: str) -> str:
    """Return the hex SHA-256 under which a token's text is found."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(kind: str) -> str:
    return f"cw_{kind}_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def _over(end_s: float | None, now_s: float) -> bool:
    return end_s is not None and end_s <= now_s


def _positive(ttl_s: float) -> float:
    if not 0 < ttl_s < float("inf"):
        raise InvalidValue("a time to live is a positive number of seconds", field="ttl_s", fix="such as 86400")
    return ttl_s


def _check_subject(tx: Tx, role: Role, subject_id: str) -> None:
    match role:
        case Role.MEMBER:
            rows.by_id(tx, Project, subject_id)
        case Role.PLATFORM:
            rows.by_id(tx, Platform, subject_id)
        case Role.ADMIN:
            if subject_id:
                raise InvalidValue("an admin's token speaks for no project or platform", field="subject_id", fix="''")


def _approved(index: int, endpoint: Mapping[str, object]) -> dict[str, object]:
    field = f"endpoints[{index}]"
    if endpoint.get("purpose") not in set(Purpose):
        raise InvalidValue(
            "an endpoint is for 'api', 'connector' or a service", field=f"{field}.purpose", fix=", ".join(Purpose)
        )
    ca_pem = endpoint.get("ca_pem")
    return {
        "purpose": str(endpoint["purpose"]),
        "url": addresses.url(str(endpoint.get("url", "")), field=f"{field}.url"),
        "dial": str(addresses.address(str(endpoint.get("dial", "")), field=f"{field}.dial")),
        "dials_from": naming.by_site(endpoint.get("dials_from") or {}, field=f"{field}.dials_from"),
        "ca_pem": None if ca_pem is None else addresses.authority(str(ca_pem), field=f"{field}.ca_pem"),
    }
