"""Who may do what: tokens, principals, and one table from permission to roles; what is not in it is denied.

A token's text is random and shown once; only its SHA-256 is kept, which is enough because nobody guesses 256 bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from catalog.errors import Denied
from catalog.expiry import is_over
from catalog.model.access import ADMIN_KEY, Account, Login, Role, Token, account_key
from catalog.model.ids import AccountId, OrganisationId, ProjectId, TokenId
from catalog.store import principals, rows
from catalog.store.database import Tx
from catalog.token_text import LOGIN_PREFIX, digest

_EVERYONE = frozenset(Role)
_ALL = _EVERYONE - {Role.GUEST}
_ADMIN = frozenset({Role.ADMIN})
_SEEN = _ADMIN | {Role.AUDITOR}  # an admin's, and an auditor's to look at
_RUN = _ADMIN | {Role.OPERATOR}
_RUN_SEEN = _RUN | {Role.AUDITOR}
_PLATFORM = _ADMIN | {Role.PLATFORM}
_PLATFORM_RUN = _PLATFORM | {Role.OPERATOR}
_PLATFORM_SEEN = _PLATFORM_RUN | {Role.AUDITOR}
_MEMBER = frozenset({Role.OWNER, Role.MEMBER})  # who works in a project
_VIEWER = _RUN_SEEN | _MEMBER | {Role.VIEWER}
_OWNER = _ADMIN | {Role.OWNER}  # who decides about a project

GATEWAY_WIDE = _RUN_SEEN  # what they may do, they may do to everybody's things
IN_PROJECTS = (Role.OWNER, Role.MEMBER, Role.VIEWER)  # the strongest first

# The one table. Whoever is not gateway-wide may act on its own things only: see ``scope``.
PERMISSIONS: Mapping[str, frozenset[Role]] = {
    "self:read": _EVERYONE,
    "self:write": _EVERYONE,  # one's own tokens, password, sessions and memberships
    "event:read": _ALL,
    "webhook:read": _ALL,
    "webhook:write": _ALL - {Role.AUDITOR, Role.VIEWER},
    "audit:read": _SEEN,
    "audit:sign": _ADMIN,
    "catalog:read": _ALL,
    "catalog:write": _ADMIN,
    "search:write": _ALL,
    "organisation:read": _VIEWER - {Role.OPERATOR},
    "organisation:write": _ADMIN,
    "project:read": _VIEWER - {Role.OPERATOR},
    "project:write": _OWNER,
    "account:read": _SEEN | {Role.OWNER},
    "account:write": _OWNER,
    "membership:read": _SEEN | {Role.OWNER},
    "membership:write": _OWNER,
    "token:read": _SEEN,
    "token:write": _ADMIN,
    "enrolment:read": _SEEN,
    "enrolment:write": _ADMIN,
    "network:read": _RUN_SEEN,
    "network:write": _RUN,
    "weights:read": _RUN_SEEN,
    "weights:write": _RUN,
    "price:read": _SEEN,
    "price:write": _ADMIN,
    "lease:read": _VIEWER,
    "lease:write": _OWNER,  # see catalog.delegation
    "budget:read": _VIEWER,
    "budget:write": _OWNER,  # see catalog.delegation
    "cost:read": _VIEWER,
    "quota:read": _VIEWER,
    "quota:write": _OWNER,  # see catalog.delegation
    "pool:read": _RUN_SEEN,
    "pool:write": _RUN,
    "background:read": _RUN_SEEN,
    "metrics:read": _RUN_SEEN,
    "queue:read": _RUN_SEEN,
    "queue:write": _RUN,
    "platform:read": _PLATFORM_SEEN,
    "platform:write": _PLATFORM,
    # Where the gateway may connect to is never the platform's own word.
    "platform:approve": _ADMIN,
    # What a relay gave to a connector that dialled out is its platform's to say; at which relay, an admin's.
    "exit:read": _PLATFORM_SEEN,
    "exit:announce": _PLATFORM,
    "connection:read": _PLATFORM_SEEN,
    "connection:write": _PLATFORM_RUN,
    # Consent is the target owner's alone: an admin who could give it would make it worthless.
    "connection:consent": frozenset({Role.PLATFORM}),
    "grant:read": _PLATFORM_SEEN,
    "grant:revoke": _PLATFORM,
    "grant:answer": frozenset({Role.PLATFORM}),  # what a platform grants is its owner's word alone
    "grant:write": _ADMIN,
    # Tenants are not among them: a native session shows the whole account, other tenants' machines included.
    "passage:read": _PLATFORM | {Role.AUDITOR},
    "passage:open": _PLATFORM,
    "passage:close": _PLATFORM,
    "approval:read": _VIEWER,
    "approval:write": _ADMIN | _MEMBER,  # who is asked, stands in the rule
    "approval-rule:read": _VIEWER,
    "approval-rule:write": _OWNER,  # of the organisation: a project does not rule over itself
    "schedule:read": _VIEWER,
    "schedule:write": _OWNER,  # a project's; a machine's is for who may start and stop it
    "order:read": _VIEWER,
    "order:write": _MEMBER,
    "order:cancel": _ADMIN | _MEMBER,
    "machine:read": _VIEWER,
    "machine:write": _ADMIN | _MEMBER,
    "machine:import": _RUN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling, and everything that decides what it may do.

    ``role`` is gateway-wide, a platform's, or the strongest that it has in any of ``projects``; ``subject_id`` is the
    project, platform or account that it speaks for, empty for an admin. ``token_id`` is what proved it: a token or a
    log-in. ``owned`` are organisations. ``scopes``, unless None, are all that its token may be used for.
    """

    role: Role
    subject_id: str
    token_id: TokenId
    name: str
    projects: Mapping[ProjectId, Role] = field(default_factory=dict)
    owned: frozenset[OrganisationId] = frozenset()
    account_id: AccountId | None = None
    scopes: frozenset[str] | None = None

    @property
    def key(self) -> str:
        """Return under which name its deeds are kept; all admins' tokens share theirs."""
        if self.account_id is not None:
            return account_key(self.account_id)
        return ADMIN_KEY if self.role is Role.ADMIN else f"{self.role.value}:{self.subject_id}"

    @property
    def is_gateway_wide(self) -> bool:
        """Whether what it may do, it may do to everybody's things."""
        return self.role in GATEWAY_WIDE

    @property
    def works_in(self) -> Mapping[ProjectId, Role]:
        """Return its role in each of its projects."""
        return {ProjectId(self.subject_id): self.role} if self.account_id is None and self._is_in_one else self.projects

    @property
    def _is_in_one(self) -> bool:
        return self.role in IN_PROJECTS and bool(self.subject_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose things a call may reach; see ``scope``, which alone makes it.

    ``projects``: those to whose things it may be done. ``visible``: those whose things exist for the caller at all.
    ``organisations``: those that the caller owns, where it may be done to an owner's things.
    """

    everything: bool
    projects: frozenset[ProjectId]
    visible: frozenset[ProjectId]
    organisations: frozenset[OrganisationId]


def scope(principal: Principal, permission: str) -> Scope:
    """Return whose things the principal may reach with ``permission``: everybody's, or those of some projects."""
    able = PERMISSIONS.get(permission, frozenset())
    projects = principal.works_in
    if principal.scopes is not None and permission not in principal.scopes:
        able = frozenset()
    return Scope(
        everything=principal.is_gateway_wide and principal.role in able,
        projects=frozenset(project for project, role in projects.items() if role in able),
        visible=frozenset(projects),
        organisations=principal.owned if Role.OWNER in able else frozenset(),
    )


def may(principal: Principal, permission: str) -> bool:
    """Return whether the principal has ``permission`` at all, be it in one project alone; unknown ones are nobody's."""
    able = PERMISSIONS.get(permission, frozenset())
    if principal.scopes is not None and permission not in principal.scopes and permission not in _ALWAYS:
        return False
    return principal.role in able or any(role in able for role in principal.works_in.values())


# Whatever a token is limited to, it may ask who it is.
_ALWAYS = frozenset({"self:read"})


def require(principal: Principal, permission: str) -> None:
    """Raise Denied unless the principal has ``permission`` somewhere; where, is for ``scope`` to say."""
    if may(principal, permission):
        return
    able = " or ".join(sorted(role.value for role in PERMISSIONS.get(permission, ()) if role is not Role.GUEST))
    if principal.scopes is not None and permission not in principal.scopes:
        raise Denied("this token is limited to other things", detail=permission, fix=f"a token with scope {permission}")
    raise Denied(
        f"a token of role '{principal.role.value}' may not do this",
        detail=permission,
        fix=f"a token of role {able}" if able else None,
    )


def owns(principal: Principal, *subject_ids: str | None) -> bool:
    """Return whether something of these platforms, projects or organisations exists for the principal at all.

    To gateway-wide roles all does. Whether the principal may also change it in just this project is ``scope``'s to say.
    """
    mine = {principal.subject_id, *principal.works_in, *principal.owned} - {""}
    return principal.is_gateway_wide or not mine.isdisjoint(subject_ids)


def authenticate(tx: Tx, text: str, now_s: float) -> Principal | None:
    """Return who ``text`` speaks for; None when it is unknown, expired or revoked, without saying which."""
    if text.startswith(LOGIN_PREFIX):
        login = rows.first(tx, Login, digest=digest(text))
        return None if login is None else _of_login(tx, login, now_s)
    token = rows.first(tx, Token, digest=digest(text))
    return None if token is None else _of_token(tx, token, now_s)


def again(tx: Tx, principal: Principal, now_s: float) -> Principal | None:
    """Return who ``principal`` is now, None when its proof is not valid any more: for what outlasts a call."""
    if principal.token_id.startswith("login_"):
        login = rows.find(tx, Login, principal.token_id)
        return None if login is None else _of_login(tx, login, now_s)
    token = rows.find(tx, Token, principal.token_id)
    return None if token is None else _of_token(tx, token, now_s)


def still_may(tx: Tx, proof_id: str, permission: str, now_s: float) -> bool:
    """Return whether the token or log-in with this id still lets somebody in who may do this."""
    nobody = Principal(role=Role.GUEST, subject_id="", token_id=TokenId(proof_id), name="")
    who = again(tx, nobody, now_s)
    return who is not None and may(who, permission)


def of_account(tx: Tx, account: Account, proof_id: TokenId, scopes: Sequence[str] | None = None) -> Principal:
    """Return the account as it may act now: its gateway-wide role and its memberships, as they stand."""
    projects, owned = principals.memberships_of(tx, account.id)
    held = set(projects.values())
    strongest = next((role for role in IN_PROJECTS if role in held), Role.OWNER if owned else Role.GUEST)
    return Principal(
        role=Role(account.gateway_role) if account.gateway_role else strongest,
        subject_id=account.id,
        token_id=proof_id,
        name=account.name,
        projects=projects,
        owned=owned,
        account_id=account.id,
        scopes=None if scopes is None else frozenset(scopes),
    )


def is_valid(token: Token | None, now_s: float) -> bool:
    """Return whether ``token`` exists and is neither revoked nor expired."""
    return token is not None and token.revoked_at_s is None and not is_over(token.expires_at_s, now_s)


def is_open(login: Login, now_s: float) -> bool:
    """Return whether the session of ``login`` has neither ended nor been left alone for too long."""
    return login.ended_at_s is None and now_s < min(login.expires_at_s, login.used_at_s + login.idle_s)


def _of_token(tx: Tx, token: Token, now_s: float) -> Principal | None:
    if not is_valid(token, now_s):
        return None
    scopes = None if token.scopes is None else frozenset(token.scopes)
    if token.account_id is not None:
        account = rows.by_id(tx, Account, token.account_id)
        return of_account(tx, account, token.id, token.scopes) if account.enabled else None
    assert token.role is not None
    return Principal(role=token.role, subject_id=token.subject_id, token_id=token.id, name=token.name, scopes=scopes)


def _of_login(tx: Tx, login: Login, now_s: float) -> Principal | None:
    account = rows.by_id(tx, Account, login.account_id)
    return of_account(tx, account, TokenId(login.id)) if account.enabled and is_open(login, now_s) else None
