"""The transport network as an admin declares it: sites, relays, links, and the weights of route terms.

What is stored here ends up in SSH connections, so every text passes a grammar first.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from catalog import addresses, naming
from catalog.errors import AlreadyExists, InvalidValue, NotFound, WrongState
from catalog.model.ids import LinkId, RelayId, SiteId, new_id
from catalog.model.network import Login, Relay, Site, SiteLink
from catalog.model.order import WeightSet
from catalog.model.relay_care import RelayCare
from catalog.places import COUNTRIES
from catalog.store import connections, rows
from catalog.store.database import Tx

GATEWAY_WEIGHTS = "gateway"
WEIGHT_NAMES = ("delay", "loss", "jitter", "hops", "price", "risk")
RISK_GROUPS_LIMIT = 16
MORE_HOST_KEYS_LIMIT = 4
SSH_PORT = 22
GATEWAY = "gateway"  # the name of the gateway itself in routes and measurements
# Never a leading "-", which a program would take for an option.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}", re.ASCII)

Check = Callable[[Any], object]


def add_site(
    tx: Tx,
    *,
    name: str,
    region: str = "",
    latitude: float | None = None,
    longitude: float | None = None,
    country: str = "",
    now_s: float,
) -> Site:
    """Return the new site. Raises InvalidValue naming the field, AlreadyExists for a name in use."""
    told = {"name": name, "region": region, "latitude": latitude, "longitude": longitude, "country": country}
    facts = _checked(_SITE, told)
    return rows.insert(tx, Site(id=SiteId(new_id("site", now_s)), **facts), now_s)


def update_site(
    tx: Tx, site_id: str, changes: Mapping[str, object], now_s: float, expected_version: int | None = None
) -> Site:
    """Change region, country, latitude or longitude; a name stays, because dial addresses refer to it. Raises Stale."""
    site = rows.by_name_or_id(tx, Site, site_id)
    return rows.update(tx, site, _checked(_SITE, changes, fixed=("name",)), now_s, expected_version)


def remove_site(tx: Tx, site_id: str, expected_version: int | None = None) -> None:
    """Remove a site that nothing refers to. Raises WrongState while a relay, link or platform is there, Stale."""
    rows.delete(tx, rows.by_name_or_id(tx, Site, site_id), expected_version)


def add_relay(
    tx: Tx,
    *,
    name: str,
    site: str,
    host: str,
    user: str,
    host_key: str,
    port: int = SSH_PORT,
    addresses_from: Mapping[str, str] | None = None,
    enabled: bool = True,
    risk: float = 0.0,
    risk_groups: Sequence[str] = (),
    caretaker: str = "",
    login: str = Login.KEY,
    also_permitted: Sequence[str] = (),
    now_s: float,
) -> Relay:
    """Return the new relay; ``site`` is a site's name or id, ``addresses_from`` site name -> ``host:port``.

    ``risk`` is an admin's judgement in points, 0 or more; ``risk_groups`` are at most 16 words for what it shares its
    fate with (an operator, a building, a provider), by which routes ask for it or keep away from it. ``caretaker``,
    ``login`` and ``also_permitted`` are as in ``catalog.model.network.Relay``.
    Raises InvalidValue naming the field, AlreadyExists for a name in use.
    """
    if name == GATEWAY:
        raise InvalidValue(
            f"'{GATEWAY}' is what the gateway itself is called on routes", field="name", fix="another name"
        )
    facts = {"name": name, "host": host, "port": port, "user": user, "host_key": host_key, "enabled": enabled}
    facts |= {"risk": risk, "risk_groups": risk_groups}
    facts |= {"caretaker": caretaker, "login": login, "also_permitted": also_permitted}
    known = _known_sites(tx, addresses_from or {})
    relay = Relay(
        id=RelayId(new_id("relay", now_s)),
        site_id=naming.known(tx, Site, site, field="site").id,
        **_checked(_RELAY, {**facts, "addresses_from": known}),
    )
    return rows.insert(tx, relay, now_s)


def update_relay(
    tx: Tx, relay_id: str, changes: Mapping[str, object], now_s: float, expected_version: int | None = None
) -> Relay:
    """Change anything but the name: routes are spelt in it.

    Tunnels that stand are not cut; the next probe and the next tunnel see the change. With a caretaker another
    ``login`` becomes the next one, in use once the relay is known to take it. Raises Stale, InvalidValue.
    """
    relay = rows.by_name_or_id(tx, Relay, relay_id)
    wanted = dict(changes)
    if "addresses_from" in wanted:
        wanted["addresses_from"] = _known_sites(tx, wanted["addresses_from"])
    moved = {}
    if "site" in wanted:
        moved["site_id"] = naming.known(tx, Site, str(wanted.pop("site")), field="site").id
    facts = _checked(_RELAY, wanted, fixed=("name",))
    if "login" in facts:
        facts |= _next_login(relay, facts["login"], has_caretaker=bool(facts.get("caretaker", relay.caretaker)))
    return rows.update(tx, relay, {**facts, **moved}, now_s, expected_version)


def enable_relay(tx: Tx, relay_id: str, *, enabled: bool, now_s: float, expected_version: int | None = None) -> Relay:
    """Let routes use the relay, or no longer. Raises NotFound, Stale."""
    return update_relay(tx, relay_id, {"enabled": enabled}, now_s, expected_version)


def remove_relay(tx: Tx, relay_id: str, expected_version: int | None = None) -> None:
    """Remove a relay. Raises WrongState while a connection's route goes through it, Stale."""
    relay = rows.by_name_or_id(tx, Relay, relay_id)
    user = connections.through_relay(tx, relay.name)
    if user is not None:
        raise WrongState(f"connection '{user.id}' goes through this relay", fix="disable it, then reroute or close")
    care = rows.find(tx, RelayCare, relay.id)
    if care is not None:
        rows.delete(tx, care)
    rows.delete(tx, relay, expected_version)


def add_link(
    tx: Tx,
    *,
    source: str,
    target: str,
    both_ways: bool = True,
    price_usd_per_gb: float | None = None,
    capacity_mbps: float | None = None,
    now_s: float,
) -> SiteLink:
    """Return the new link between two different sites (names or ids); None is what nobody knows.

    Raises AlreadyExists when the pair, in this direction or covered by a link of both ways, is already linked.
    """
    here = naming.known(tx, Site, source, field="source")
    there = naming.known(tx, Site, target, field="target")
    if here.id == there.id:
        raise InvalidValue("hosts of one site reach each other without a link", field="target", fix="another site")
    back = rows.first(tx, SiteLink, source_id=there.id, target_id=here.id)
    if back is not None and (back.both_ways or both_ways):
        raise AlreadyExists(f"link '{back.id}' joins these sites already", field="target")
    link = SiteLink(
        id=LinkId(new_id("link", now_s)),
        source_id=here.id,
        target_id=there.id,
        both_ways=both_ways,
        price_usd_per_gb=None if price_usd_per_gb is None else _amount(price_usd_per_gb, field="price_usd_per_gb"),
        capacity_mbps=None if capacity_mbps is None else _capacity(capacity_mbps),
    )
    return rows.insert(tx, link, now_s)


def remove_link(tx: Tx, link_id: str, expected_version: int | None = None) -> None:
    """Remove a link; tunnels that stand are not cut. Raises NotFound, Stale."""
    rows.delete(tx, rows.by_id(tx, SiteLink, link_id), expected_version)


def weights(tx: Tx, owner: str = GATEWAY_WEIGHTS) -> WeightSet | None:
    """Return the gateway's weights, or those a platform (its id) wants for what it asks for; None while it has none."""
    return rows.find(tx, WeightSet, owner)


def set_weights(
    tx: Tx,
    values: Mapping[str, float],
    now_s: float,
    expected_version: int | None = None,
    *,
    owner: str = GATEWAY_WEIGHTS,
) -> WeightSet:
    """Put these weights in force. Raises InvalidValue for an unknown, negative or infinite one, Stale."""
    unknown = set(values) - set(WEIGHT_NAMES)
    if unknown:
        raise InvalidValue("there is no such weight", field=min(unknown), fix=", ".join(WEIGHT_NAMES))
    checked = {name: _amount(value, field=name) for name, value in values.items()}
    held = weights(tx, owner)
    if held is None:
        return rows.insert(tx, WeightSet(name=owner, values=checked), now_s)
    return rows.update(tx, held, {"values": checked}, now_s, expected_version)


def _checked(grammar: Mapping[str, Check], facts: Mapping[str, object], fixed: tuple[str, ...] = ()) -> dict[str, Any]:
    for name in facts:
        if name not in grammar or name in fixed:
            raise InvalidValue(f"'{name}' cannot be set", field=name, fix=", ".join(set(grammar) - set(fixed)))
    return {name: grammar[name](value) for name, value in facts.items()}


def _within(limit: float, field: str) -> Check:
    def check(value: Any) -> float | None:
        if value is not None and not -limit <= value <= limit:  # NaN is within nothing
            raise InvalidValue("this is not an angle in degrees", field=field, fix=f"-{limit:g}..{limit:g}")
        return None if value is None else float(value)

    return check


def _amount(value: float, *, field: str) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InvalidValue("this is not an amount", field=field, fix="a number, 0 or more")
    return float(value)


def _capacity(value: float) -> float:
    if not 0 < value < math.inf:
        raise InvalidValue("a link carries something, or nobody knows", field="capacity_mbps", fix="more than 0 Mbit/s")
    return float(value)


def _risk_groups(words: Any) -> list[str]:
    """Return the words in their order, each once."""
    field = "risk_groups"
    if isinstance(words, str) or not isinstance(words, Sequence):
        raise InvalidValue("this is not a list of words", field=field, fix='such as ["acme", "building-7"]')
    kept = list(dict.fromkeys(naming.label(word, field=field) for word in words))
    if len(kept) > RISK_GROUPS_LIMIT:
        raise InvalidValue("these are too many words", field=field, fix=f"at most {RISK_GROUPS_LIMIT}")
    return kept


def _more_host_keys(lines: Any) -> list[str]:
    """Return the keys that count beside the first, each once."""
    field = "more_host_keys"
    if isinstance(lines, str) or not isinstance(lines, Sequence) or len(lines) > MORE_HOST_KEYS_LIMIT:
        raise InvalidValue("this is no short list of keys", field=field, fix=f"at most {MORE_HOST_KEYS_LIMIT} keys")
    return list(dict.fromkeys(addresses.ssh_public_key(str(line), field=field) for line in lines))


def _user(text: str, field: str = "user") -> str:
    if not _USER.fullmatch(text):
        raise InvalidValue("this cannot be an SSH user", field=field, fix="A-Z a-z 0-9 . _ -, at most 32")
    return text


def _next_login(relay: Relay, login: str, *, has_caretaker: bool) -> dict[str, object]:
    if login == relay.login or not has_caretaker:
        return {"login": login, "next_login": ""}
    return {"login": relay.login, "next_login": login}


def _login(text: str) -> str:
    try:
        return Login(text).value
    except ValueError as error:
        raise InvalidValue("there is no such way to log in", field="login", fix=", ".join(Login)) from error


def _permitted(texts: Any) -> list[str]:
    """Return the addresses in their canonical form, each once."""
    field = "also_permitted"
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise InvalidValue("this is not a list of addresses", field=field, fix='such as ["10.0.0.5:22"]')
    return list(dict.fromkeys(str(addresses.address(text, field=field)) for text in texts))


def _known_sites(tx: Tx, dials: object) -> dict[str, str]:
    canonical = naming.by_site(dials, field="addresses_from")
    for name in canonical:
        if rows.first(tx, Site, name=name) is None:
            raise NotFound(f"there is no site '{name}'", field=f"addresses_from.{name}")
    return canonical


def _country(text: str) -> str:
    if text and text not in COUNTRIES:
        raise InvalidValue("there is no such country", field="country", fix="its ISO 3166-1 code of two letters, or ''")
    return text


_SITE: Mapping[str, Check] = {
    "name": naming.name,
    "region": lambda text: naming.label(text, field="region", empty=True),
    "latitude": _within(90, "latitude"),
    "longitude": _within(180, "longitude"),
    "country": _country,
}
_RELAY: Mapping[str, Check] = {
    "name": naming.name,
    "host": addresses.host,
    "port": addresses.port,
    "user": _user,
    "host_key": lambda text: addresses.ssh_public_key(text, field="host_key"),
    "more_host_keys": _more_host_keys,
    "addresses_from": dict,
    "enabled": bool,
    "risk": lambda points: _amount(points, field="risk"),
    "risk_groups": _risk_groups,
    "caretaker": lambda text: _user(text, field="caretaker") if text else "",
    "login": _login,
    "also_permitted": _permitted,
}
