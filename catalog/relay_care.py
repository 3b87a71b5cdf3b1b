"""What a relay's key file should hold, what it was found to hold, and when a change of log-in is complete.

A key is added before another is taken away: whoever is to be let in tomorrow is let in beside today's until a log-in
has proved it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.model.network import Login, Relay, Site
from catalog.model.relay_care import RelayCare
from catalog.permits import AUTHORITY, key_lines, permitted_at
from catalog.store import rows
from catalog.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKeys:
    """The public keys by which relays know this gateway, each ``type base64``.

    ``shown`` is the one in use; ``accepted`` are all that relays shall let in, more than one while it is changed.
    """

    shown: str
    accepted: tuple[str, ...]
    authority: str
    caretaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """What a relay's key file holds: the addresses and the keys on every line."""

    addresses: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """Return it line by line. Raises InvalidValue for an address or key that is none."""
        return key_lines(self.addresses, self.keys)


def wanted(tx: Tx, relay: Relay, keys: GatewayKeys) -> KeyFile:
    """Return what the key file of ``relay`` should hold. Raises InvalidValue when that is more than an sshd takes."""
    site = rows.by_id(tx, Site, relay.site_id)
    logins = [Login(login) for login in (relay.login, relay.next_login) if login]
    return KeyFile(
        addresses=tuple(permitted_at(tx, site, relay=relay)),
        keys=tuple(key for login in logins for key in keys_for(login, keys)),
    )


def keys_for(login: Login, keys: GatewayKeys) -> Sequence[str]:
    """Return what a relay that is shown ``login`` lets in."""
    return [f"{AUTHORITY}{keys.authority}"] if login is Login.CERTIFICATE else keys.accepted


def held(tx: Tx, relay: Relay) -> KeyFile | None:
    """Return what the key file was last found or made to hold; None: nobody has looked yet."""
    care = rows.find(tx, RelayCare, relay.id)
    if care is None or not care.addresses:
        return None
    return KeyFile(addresses=tuple(care.addresses), keys=tuple(care.keys))


def looked(tx: Tx, relay: Relay, file: KeyFile, now_s: float, *, written: bool, drifted: bool) -> RelayCare:
    """Record that the key file holds ``file``; ``drifted``: before it was ``written`` it held something foreign."""
    changes: dict[str, object] = {"addresses": list(file.addresses), "keys": list(file.keys), "checked_at_s": now_s}
    changes |= {"code": "", "reason": ""}
    changes |= {"written_at_s": now_s} if written else {}
    changes |= {"drifted_at_s": now_s} if drifted else {}
    return _change(tx, relay, changes, now_s)


def failed(tx: Tx, relay: Relay, *, code: str, reason: str, now_s: float) -> RelayCare:
    """Record why the key file could not be looked at or written."""
    return _change(tx, relay, {"code": code, "reason": reason}, now_s)


def login_changed(tx: Tx, relay: Relay, now_s: float) -> Relay:
    """Show the relay ``next_login`` from now on: a log-in has proved that it takes it."""
    return rows.update(tx, relay, {"login": relay.next_login, "next_login": ""}, now_s)


def _change(tx: Tx, relay: Relay, changes: dict[str, object], now_s: float) -> RelayCare:
    care = rows.find(tx, RelayCare, relay.id)
    if care is None:
        care = rows.insert(tx, RelayCare(id=relay.id), now_s)
    return rows.update(tx, care, changes, now_s)
