"""What became of a connection: the account sessions, the steps."""

from pydantic import Field

from catalog.access import owns
from catalog.model.connection import AccountSession, Leg
from catalog.store.database import Tx
from catalog.store.paging import page
from gateway.api.bodies import Nothing, Out, Time
from gateway.api.connections import own_connection
from gateway.api.endpoints import Call, Listing, Routes
from gateway.api.trace import StepOut, steps_page

routes = Routes("connections")


class SessionOut(Out):
    """One of the three linked account sessions of a connection."""

    id: str
    leg: str
    account: str = Field(description="Empty for the target's account when it is not the reader's own.")
    parent_id: str | None
    calls: int
    opened_at: Time
    ended_at: Time | None


@routes.plain(
    "GET",
    "/v1/connections/{id}/sessions",
    permission="connection:read",
    answer=SessionOut,
    many=True,
    summary="Show the account sessions: with the gateway, the transport network and the target",
)
def list_sessions(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of sessions, oldest first."""
    row = own_connection(tx, call)
    sees_target = owns(call.principal, row.target_id)
    found = page(tx, AccountSession, limit=call.limit, token=call.page_token, where={"connection_id": row.id})
    # Ids go by the millisecond; the three of one opening, which share it, belong in the order of their links.
    ordered = sorted(found.items, key=lambda each: (each.opened_at_s, list(Leg).index(each.leg)))
    items = [_session(each, show_account=sees_target or each.leg is not Leg.TARGET) for each in ordered]
    return Listing(items=items, next_token=found.next_token)


@routes.plain(
    "GET",
    "/v1/connections/{id}/steps",
    permission="connection:read",
    answer=StepOut,
    many=True,
    summary="Show how establishing went so far",
)
def list_connection_steps(tx: Tx, call: Call[Nothing]) -> Listing:
    """Return one page of steps, oldest first."""
    return steps_page(tx, call, own_connection(tx, call).id)


def _session(row: AccountSession, *, show_account: bool) -> SessionOut:
    return SessionOut(
        id=row.id,
        leg=row.leg.value,
        account=row.account if show_account else "",
        parent_id=row.parent_id,
        calls=row.calls,
        opened_at=row.opened_at_s,
        ended_at=row.ended_at_s,
    )
