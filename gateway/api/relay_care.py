"""How relays are cared for: what they permit, whether that stands there, and the script that makes a host a relay."""

from typing import Annotated, Literal

from pydantic import Field

from catalog.errors import InvalidValue, WrongState
from catalog.model.network import Login, Relay, Site
from catalog.model.relay_care import RelayCare
from catalog.permits import permitted_at
from catalog.relay_care import KeyFile, keys_for
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.bodies import HostPort, Nothing, Out, Time
from gateway.api.endpoints import Call, Filter, Routes
from gateway.relays.account import ACCOUNT, account_script, caretaker_of

routes = Routes("relay care")

LoginIn = Annotated[
    Literal["key", "certificate"],
    Field(description="What it is shown: our key, or a certificate that ends in minutes."),
]
Permitted = Annotated[list[HostPort], Field(max_length=256)]


class PermitsOut(Out):
    """What a relay permits us to dial.

    ``state``: "unkept" (nobody writes its key file), "current" (it was last seen as it should be), "behind" (it is to
    be written), "failing" (the last attempt failed, ``code`` and ``reason`` say why). ``addresses`` are what it should
    permit, ``drifted_at`` is when it last held something that nobody here wrote.
    """

    state: str
    addresses: list[str]
    written_at: Time | None
    checked_at: Time | None
    drifted_at: Time | None
    code: str
    reason: str


def permits_of(tx: Tx, relay: Relay) -> PermitsOut:
    """Return what ``relay`` should permit, and whether it is known to."""
    care = rows.find(tx, RelayCare, relay.id) or RelayCare(id=relay.id)
    addresses = permitted_at(tx, rows.by_id(tx, Site, relay.site_id), relay=relay)
    return PermitsOut(
        state=_state(relay, care, addresses),
        addresses=addresses,
        written_at=care.written_at_s,
        checked_at=care.checked_at_s,
        drifted_at=care.drifted_at_s,
        code=care.code,
        reason=care.reason,
    )


def _state(relay: Relay, care: RelayCare, addresses: list[str]) -> str:
    if not relay.caretaker:
        return "unkept"
    if care.code:
        return "failing"
    return "current" if care.addresses == addresses and not relay.next_login else "behind"


class AccountOut(Out):
    """The accounts of a relay, and the POSIX shell script that makes them there; run as root."""

    account: str
    caretaker: str
    script: str


@routes.plain(
    "GET",
    "/v1/sites/{ref}/relay-script",
    permission="network:write",
    answer=AccountOut,
    filters={
        "account": "The forwarding account's name; absent: crossway.",
        "login": Filter(meaning="What the relay is shown; absent: key.", choices=tuple(Login)),
    },
    errors=(InvalidValue, WrongState),
    summary="The script that makes a host at this site a relay",
)
def get_relay_script(tx: Tx, call: Call[Nothing]) -> AccountOut:
    """Return the script; it permits what a relay at the site must be able to dial now."""
    site = rows.by_name_or_id(tx, Site, call.path["ref"])
    account = call.filters.get("account", ACCOUNT)
    keys = call.services.relays.public_keys()
    file = KeyFile(
        addresses=tuple(permitted_at(tx, site)),
        keys=tuple(keys_for(Login(call.filters.get("login", Login.KEY)), keys)),
    )
    return AccountOut(
        account=account, caretaker=caretaker_of(account), script=account_script(account, file.lines, keys.caretaker)
    )
