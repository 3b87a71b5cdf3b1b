"""Accounts of people whom an identity provider vouches for: found by its word alone, with the roles that it tells.

An account is found by issuer and subject, never by a name or an address: whoever could choose these at the provider
would be somebody else here. Of roles, the provider has the say where a rule names the project, or the whole gateway;
what was given here by hand elsewhere stays.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog import accounts, tenancy
from catalog.access import GATEWAY_WIDE, IN_PROJECTS
from catalog.model.access import Account, AccountKind, Membership, Role
from catalog.model.ids import MembershipId, new_id
from catalog.store import rows
from catalog.store.database import Tx

_NAME = re.compile(r"[^a-z0-9.@+-]+")  # no underscore, so that none passes for an id
_STRENGTH = (Role.ADMIN, Role.OPERATOR, Role.AUDITOR, *IN_PROJECTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """Whoever's claim holds ``value`` has ``role``, in ``project`` or (empty) for the whole gateway."""

    value: str
    role: Role
    project: str = ""


def welcome(
    tx: Tx, *, issuer: str, claims: Mapping[str, Any], role_claim: str, rules: Sequence[RoleRule], now_s: float
) -> Account | None:
    """Return the account of whom ``claims`` are about, made when it is new, with its roles as told; None if disabled.

    ``claims`` were verified. May be repeated. Raises NotFound when a rule names a project that does not exist.
    """
    external_id = f"{issuer} {claims['sub']}"
    account = rows.first(tx, Account, external_id=external_id)
    if account is None:
        account = accounts.create_user(tx, name=_name(tx, claims, external_id), external_id=external_id, now_s=now_s)
    if not account.enabled:
        return None
    told = claims.get(role_claim)
    held = {told} if isinstance(told, str) else {each for each in told or () if isinstance(each, str)}
    account = _set_gateway_role(tx, account, held, rules, now_s)
    for project in sorted({rule.project for rule in rules if rule.project}):
        roles = {rule.role for rule in rules if rule.project == project and rule.value in held}
        _set_role(tx, account, project, next((each for each in _STRENGTH if each in roles), None), now_s)
    return account


def _set_gateway_role(tx: Tx, account: Account, held: set[str], rules: Sequence[RoleRule], now_s: float) -> Account:
    wide = [rule for rule in rules if not rule.project and rule.role in GATEWAY_WIDE]
    if not wide:
        return account
    roles = {rule.role for rule in wide if rule.value in held}
    role = next((each.value for each in _STRENGTH if each in roles), "")
    return account if account.gateway_role == role else rows.update(tx, account, {"gateway_role": role}, now_s)


def _set_role(tx: Tx, account: Account, project: str, role: Role | None, now_s: float) -> None:
    project_id = tenancy.project(tx, project).id
    found = rows.first(tx, Membership, account_id=account.id, project_id=project_id)
    if found is None and role is not None:
        fresh = Membership(
            id=MembershipId(new_id("membership", now_s)), account_id=account.id, project_id=project_id, role=role.value
        )
        rows.insert(tx, fresh, now_s)
    elif found is not None and role is None:
        rows.delete(tx, found)
    elif found is not None and role is not None and found.role != role.value:
        rows.update(tx, found, {"role": role.value}, now_s)


def _name(tx: Tx, claims: Mapping[str, Any], external_id: str) -> str:
    """Return a free name near what the provider calls the person, by which roles may be given here.

    People choose what they are called there: an address stands for its owner only where the provider has proved it.
    """
    wanted = claims.get("preferred_username") or claims.get("email") or "user"
    near = _NAME.sub("-", str(wanted).lower()).strip("._@+-")[:80] or "user"
    address = str(claims.get("email", ""))
    # Only ASCII: other letters, such as the Kelvin sign, become ours when they are made small.
    is_proven = claims.get("email_verified") is True and address.isascii() and near == address.lower()
    is_free = rows.first(tx, Account, path=near, kind=AccountKind.USER) is None
    if is_free and near != accounts.ME and ("@" not in near or is_proven):
        return near
    return f"{near}.{hashlib.sha256(external_id.encode()).hexdigest()[:8]}"
