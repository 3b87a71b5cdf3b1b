"""How relays are cared for: what they permit, whether that stands there, and the script that makes a host a relay."""

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from catalog.errors import InvalidValue, NotFound, WrongState
from catalog.model.network import Login, Relay, Site
from catalog.model.relay_care import RelayCare
from catalog.permits import AUTHORITY, permitted_at
from catalog.relay_care import KeyFile, keys_for
from catalog.store import rows
from catalog.store.database import Tx
from gateway.api.bodies import HostPort, Nothing, Out, Time
from gateway.api.endpoints import Call, Filter, Routes
from gateway.api.services import Wakes
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
    """Return what ``relay`` should permit, and whether it is known to; why, where no list can be right."""
    care = rows.find(tx, RelayCare, relay.id) or RelayCare(id=relay.id)
    code, reason = care.code, care.reason
    try:
        addresses = permitted_at(tx, rows.by_id(tx, Site, relay.site_id), relay=relay)
    except InvalidValue as error:
        addresses, code, reason = [], error.code, str(error)
    if not relay.caretaker:
        state = "unkept"
    elif code:
        state = "failing"
    else:
        state = "current" if care.addresses == addresses and not relay.next_login else "behind"
    return PermitsOut(
        state=state,
        addresses=addresses,
        written_at=care.written_at_s,
        checked_at=care.checked_at_s,
        drifted_at=care.drifted_at_s,
        code=code,
        reason=reason,
    )


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


class FindingOut(Out):
    """What one check of a relay found; ``ok`` null: nobody can say, or it is as somebody wished."""

    check: str
    ok: bool | None
    detail: str = ""
    fix: str = ""


class DiagnosisOut(Out):
    """What is found at a relay; ``healthy`` when no check failed."""

    relay: str
    healthy: bool
    findings: list[FindingOut]


@routes.probe(
    "/v1/relays/{ref}/diagnosis",
    permission="network:write",
    answer=DiagnosisOut,
    filters={
        "clock": "What the host's clock shows, in epoch seconds, read there.",
        "nofile": "How many files its sshd may open, read there.",
        "maxstartups": "MaxStartups of its sshd, read there.",
    },
    errors=(NotFound, WrongState),
    summary="Examine a relay: try what tunnels need, and what nobody should be let do",
)
async def examine_relay(call: Call[Nothing]) -> DiagnosisOut:
    """Return the findings; every attempt is bounded, and harmless where it succeeds."""
    async with asyncio.timeout(call.services.limits.action_s):
        found = await call.services.relays.examine(call.path["ref"], call.filters)
    return DiagnosisOut(
        relay=call.path["ref"],
        healthy=all(finding["ok"] is not False for finding in found),
        findings=[FindingOut(**finding) for finding in found],
    )


class SshKeyOut(Out):
    """The key shown to relays, and the next one while it is changed.

    ``waits_for`` says, by relay, why the next one is not in use yet; ``holds_more`` are the relays that still let in
    another key than the one in use.
    """

    shown: str
    next: str | None
    waits_for: dict[str, str]
    holds_more: list[str]


@routes.plain("GET", "/v1/ssh-key", permission="network:read", answer=SshKeyOut, summary="The key shown to relays")
def get_ssh_key(tx: Tx, call: Call[Nothing]) -> SshKeyOut:
    """Return the key in use and how far its change is."""
    return _ssh_key(tx, call)


@routes.plain(
    "POST",
    "/v1/ssh-key/rotate",
    permission="network:write",
    answer=SshKeyOut,
    status=202,
    wakes=(Wakes.RELAYS,),
    errors=(WrongState,),
    summary="Change the key shown to relays; tunnels that stand stay",
)
def rotate_ssh_key(tx: Tx, call: Call[Nothing]) -> SshKeyOut:
    """Return the next key; it is used once every enabled relay has let it in. May be repeated."""
    call.services.relays.begin_rotation()
    return _ssh_key(tx, call)


@routes.plain(
    "POST",
    "/v1/ssh-key/keep",
    permission="network:write",
    answer=SshKeyOut,
    wakes=(Wakes.RELAYS,),
    summary="Keep the key in use, and forget the next one",
)
def keep_ssh_key(tx: Tx, call: Call[Nothing]) -> SshKeyOut:
    """Return the key in use."""
    call.services.relays.give_up_rotation()
    return _ssh_key(tx, call)


def _ssh_key(tx: Tx, call: Call[Nothing]) -> SshKeyOut:
    keys = call.services.relays.public_keys()
    cared = {relay.id: relay.name for relay in rows.where(tx, Relay) if relay.caretaker}
    return SshKeyOut(
        shown=keys.shown,
        next=keys.accepted[1] if len(keys.accepted) > 1 else None,
        waits_for=dict(call.services.relays.rotation()),
        holds_more=[
            cared[care.id]
            for care in rows.where(tx, RelayCare)
            if care.id in cared and {key for key in care.keys if not key.startswith(AUTHORITY)} - {keys.shown}
        ],
    )
