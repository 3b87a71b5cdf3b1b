"""What is noted in the audit log beside calls of the API: calls in passages, streams, what is done to wind down."""

from collections.abc import Mapping

from catalog import audit
from catalog.access import Principal
from catalog.audit import Actor, Deed, Result
from catalog.errors import CatalogError
from catalog.model.connection import Connection
from catalog.model.consent import Grant
from catalog.model.ids import ConnectionId
from catalog.model.passage import Passage
from catalog.ports import Asked, PassageCall
from catalog.store.database import Tx
from catalog.store.rows import by_id
from catalog.winding_down import is_first_look
from gateway.connections.left import DESTROY, Left

_READING_VERB = "list"  # of every capability, see CAPABILITY_VERBS
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def may_change(call: PassageCall, asked: Asked) -> bool:
    """Return whether the call may change something at the platform; what cannot be told counts as if it did."""
    if asked.is_local or asked.verb == _READING_VERB:
        return False
    return bool(asked.capability) or call.method not in _READING_METHODS


def note_passed(
    tx: Tx, passage: Passage, action: str, data: Mapping[str, str], now_s: float, *, refused: CatalogError | None = None
) -> None:
    """Append that ``action`` went through the passage, or was refused there; how it ended is the platform's to say."""
    connection = by_id(tx, Connection, passage.connection_id)
    deed = Deed(
        actor=Actor(key=passage.principal, name=passage.principal_name, token_id=passage.token_id),
        action=action,
        subject=passage.id,
        result=Result.PASSED if refused is None else Result.REFUSED,
        code="" if refused is None else refused.code,
        via={
            "passage": passage.id,
            "connection": connection.id,
            "route": connection.route,
            "platform": passage.platform_id,
        },
        data=data,
    )
    audit.record(tx, deed, now_s)


def note_shut_out(
    tx: Tx, principal: Principal, platform: str, data: Mapping[str, str], now_s: float, *, refused: CatalogError
) -> None:
    """Append that a stream into ``platform`` was refused to the principal before there was a passage."""
    deed = Deed(
        actor=audit.actor_of(principal),
        action="open_stream",
        subject=platform,
        result=Result.REFUSED,
        code=refused.code,
        data=data,
    )
    audit.record(tx, deed, now_s)


def note_wind_down(tx: Tx, grant: Grant, connection_id: ConnectionId, left: Left, now_s: float) -> None:
    """Append that what an ended grant left behind is found, read or destroyed by the gateway itself.

    Each destruction is noted; that it is found or read, which goes on until it is gone, once in an epoch of the grant.
    """
    if left.deed != DESTROY and not is_first_look(tx, grant, left.subject, now_s):
        return
    connection = by_id(tx, Connection, connection_id)
    told = Deed(
        actor=Actor(key="gateway", name="winding down"),
        action=f"wind_down_{left.deed}",
        subject=grant.id,
        result=Result.PASSED,
        via={"connection": connection.id, "route": connection.route, "platform": grant.platform_id},
        data=left.what,
    )
    audit.record(tx, told, now_s)
