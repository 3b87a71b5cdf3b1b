"""Searches by name, each its principal's own."""

from collections.abc import Mapping

from catalog import naming
from catalog.access import Principal
from catalog.errors import NotFound, QuotaExceeded
from catalog.model.ids import new_id
from catalog.model.search import SavedSearch
from catalog.search.query import read
from catalog.store import rows
from catalog.store.database import Tx

SAVED_LIMIT = 100  # of one principal


def owner_of(principal: Principal) -> str:
    """Return whose searches are this principal's: its account's, project's or platform's, an admin's token's own."""
    return principal.key if principal.subject_id else f"{principal.role.value}:{principal.token_id}"


def save(tx: Tx, principal: Principal, *, name: str, query: Mapping[str, str], now_s: float) -> SavedSearch:
    """Return the search, kept under ``name``.

    Raises InvalidValue naming the field, AlreadyExists for a name in use, QuotaExceeded beyond a hundred.
    """
    read(query)
    owner = owner_of(principal)
    if len(rows.where(tx, SavedSearch, principal=owner)) >= SAVED_LIMIT:
        raise QuotaExceeded(f"{SAVED_LIMIT} searches are saved already", field="name", fix="remove one")
    row = SavedSearch(id=new_id("search", now_s), principal=owner, name=naming.name(name), query=dict(query))
    return rows.insert(tx, row, now_s)


def own(tx: Tx, principal: Principal, name_or_id: str) -> SavedSearch:
    """Return the principal's search with this name or id. Raises NotFound, for another's too."""
    owner = owner_of(principal)
    found = rows.first(tx, SavedSearch, principal=owner, name=name_or_id)
    found = found or rows.first(tx, SavedSearch, principal=owner, id=name_or_id)
    if found is None:
        raise NotFound(f"there is no saved search '{name_or_id}'")
    return found
