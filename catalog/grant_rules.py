"""Standing rules: what is accepted as soon as its owner grants it, without asking an admin each time."""

from collections.abc import Sequence

from catalog import consent
from catalog.errors import InvalidValue
from catalog.expiry import is_over
from catalog.messages.handshake import Capability
from catalog.model.consent import Grant, GrantRule, GrantState
from catalog.model.ids import PlatformId
from catalog.model.platform import Platform
from catalog.store import rows
from catalog.store.database import Tx

ANY = "*"


def apply(tx: Tx, platform_id: PlatformId, now_s: float) -> list[Grant]:
    """Accept what the standing rules accept among the platform's GRANTED grants, and return those."""
    platform = rows.by_id(tx, Platform, platform_id)
    covered = {rule.capability for rule in rows.where(tx, GrantRule, platform=(ANY, platform.name, platform.id))}
    return [
        consent.accept(tx, grant.id, now_s)
        for grant in rows.where(tx, Grant, platform_id=platform_id, state=GrantState.GRANTED)
        if covered & {ANY, grant.capability} and not is_over(grant.expires_at_s, now_s)
    ]


def rules(tx: Tx) -> Sequence[GrantRule]:
    """Return every standing rule, oldest first."""
    return rows.where(tx, GrantRule)


def add(tx: Tx, *, platform: str, capability: str, now_s: float) -> GrantRule:
    """Return a new rule that accepts ``capability`` of ``platform`` (a name or id); ``*`` stands for any.

    What is granted already is accepted when the rules are applied next. Raises AlreadyExists, InvalidValue, NotFound.
    """
    if capability not in {ANY, *Capability}:
        raise InvalidValue("there is no such capability", field="capability", fix=", ".join([ANY, *Capability]))
    name = ANY if platform == ANY else rows.by_name_or_id(tx, Platform, platform).name
    return rows.insert(tx, GrantRule(platform=name, capability=capability), now_s)


def remove(tx: Tx, rule_id: int) -> None:
    """Remove a rule; what it accepted stays accepted. Raises NotFound."""
    rows.delete(tx, rows.by_id(tx, GrantRule, rule_id))
