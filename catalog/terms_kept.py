"""The terms of grants over time: each version that an owner signed is kept, with when and why it went out of force."""

from collections.abc import Sequence
from typing import Any

from catalog.model.consent import Grant, GrantTerms
from catalog.model.ids import GrantId
from catalog.model.terms import NO_TERMS, TERMS
from catalog.store import rows
from catalog.store.database import Tx

SUPERSEDED = "the owner gave other terms"


def keep(tx: Tx, grant: Grant, now_s: float) -> GrantTerms:
    """Return the version of the grant's terms that is in force: a new one, superseding the last, if they changed.

    The same terms signed anew are not a new version.
    """
    terms = terms_of(grant)
    last = in_force(tx, grant.id)
    # A version that was kept before there was some term said nothing of it.
    if last is not None and {**NO_TERMS, **last.terms} == terms:
        return last
    end(tx, grant.id, SUPERSEDED, now_s)
    fresh = GrantTerms(
        grant_id=grant.id,
        number=len(history(tx, grant.id)) + 1,
        terms=terms,
        evidence=grant.evidence,
        given_at_s=now_s,
    )
    return rows.insert(tx, fresh, now_s)


def end(tx: Tx, grant_id: GrantId, reason: str, now_s: float) -> None:
    """Put the version in force, if any, out of force."""
    last = in_force(tx, grant_id)
    if last is not None:
        rows.update(tx, last, {"superseded_at_s": now_s, "reason": reason}, now_s)


def in_force(tx: Tx, grant_id: GrantId) -> GrantTerms | None:
    """Return the version that is in force, None when the grant has none (any more)."""
    return rows.first(tx, GrantTerms, grant_id=grant_id, superseded_at_s=None)


def history(tx: Tx, grant_id: GrantId) -> Sequence[GrantTerms]:
    """Return every version of the grant's terms, oldest first."""
    return rows.where(tx, GrantTerms, grant_id=grant_id)


def terms_of(grant: Grant) -> dict[str, Any]:
    """Return the grant's terms as JSON values; equal terms are equal values."""
    return {name: rows.value(grant, name) for name in TERMS}
