"""Whose rule a request is about: the project or organisation that its path names."""

from typing import Any

from catalog.access import owns
from catalog.errors import NotFound
from catalog.holders import Holder, holder
from catalog.store.database import Tx
from gateway.api.bodies import Body
from gateway.api.endpoints import Call


def own_holder(tx: Tx, call: Call[Any]) -> Holder:
    """Return the holder that the path names. Raises NotFound also for one that is not the caller's."""
    return owned_holder(tx, call, call.path["holder"])


def owned_holder(tx: Tx, call: Call[Any], reference: str) -> Holder:
    """Return the holder that people call ``reference``. Raises NotFound also for one that is not the caller's."""
    try:
        found = holder(tx, reference)
    except NotFound:
        found = None
    if found is None or not owns(call.principal, found.id):
        raise NotFound(f"there is no project or organisation '{reference}'", fix="ORGANISATION/PROJECT, a name or id")
    return found


def named(body: Body) -> dict[str, Any]:
    """Return the fields that the client named, null or not: the others stay as they are."""
    return {name: value for name, value in dict(body).items() if name in body.model_fields_set}
