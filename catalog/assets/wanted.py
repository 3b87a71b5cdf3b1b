"""What an order for each kind of asset must say, and what it may not. Pure."""

import ipaddress
import re
from collections.abc import Mapping

from catalog.cloud_assets import AssetKind
from catalog.errors import InvalidValue, WrongState
from catalog.model.asset import Asset, AssetState

GIB_LIMIT = 65_536  # 64 TiB: more than any cloud's largest volume
TTL_S = 300
TTL_LIMIT_S = 86_400 * 7
_PORT_LIMIT = 65_535
_DOMAIN_LENGTH = 253
_TXT_LENGTH = 255
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"({_LABEL}\.)+[a-z0-9][a-z0-9-]{{0,61}}[a-z0-9]")
_PRINTABLE = re.compile(r"[ !#-~]+")
RECORD_TYPES = ("A", "AAAA", "CNAME", "TXT")
# From what a kind is made, and whether it can be made from nothing.
_PARENTS = {
    AssetKind.SNAPSHOT: (AssetKind.VOLUME, False),
    AssetKind.VOLUME: (AssetKind.SNAPSHOT, True),
    AssetKind.RECORD: (AssetKind.ZONE, False),
}
_OPTIONS = {
    AssetKind.ZONE: ("domain",),
    AssetKind.RECORD: ("host", "type", "value", "ttl"),
    AssetKind.BALANCER: ("port", "machine_port"),
}
_FIELDS = {"type": "record_type", "ttl": "ttl_s"}  # where the order calls it otherwise


def refuse_parent(kind: AssetKind, parent: Asset | None) -> None:
    """Raise unless ``parent`` is something that a ``kind`` can be made from, and ready."""
    wanted, optional = _PARENTS.get(kind, (None, True))
    if parent is None:
        if not optional:
            raise InvalidValue(f"a {kind} is of a {wanted}", field="parent", fix=f"the id of a {wanted}")
        return
    if wanted is None or parent.kind != wanted:
        fix = "leave it out" if wanted is None else f"the id of a {wanted}"
        words = f"a {kind} is made from nothing else" if wanted is None else f"a {kind} is made from a {wanted}"
        raise InvalidValue(words, field="parent", fix=fix)
    if parent.state is not AssetState.READY:
        raise WrongState(f"the {wanted} is {parent.state.value}", field="parent", fix="wait until it is ready")


def size(kind: AssetKind, size_gib: int | None, parent: Asset | None) -> int | None:
    """Return how large it will be, None for what has no size. Raises InvalidValue."""
    least = 1 if parent is None else (parent.size_gib or 1)
    if kind is not AssetKind.VOLUME:
        if size_gib is not None:
            words = "a snapshot is as large as its volume" if kind is AssetKind.SNAPSHOT else f"a {kind} has no size"
            raise InvalidValue(words, field="size_gib", fix="leave it out")
        return least if kind is AssetKind.SNAPSHOT else None
    if size_gib is None:
        if parent is None:
            raise InvalidValue("a volume has a size", field="size_gib", fix="so many GiB")
        return least
    if not least <= size_gib <= GIB_LIMIT:
        raise InvalidValue("there is no volume of this size", field="size_gib", fix=f"{least} to {GIB_LIMIT} GiB")
    return size_gib


def options(kind: AssetKind, given: Mapping[str, str | int | None], parent: Asset | None) -> dict[str, str]:
    """Return what else is wanted, in the words of the cloud's driver. Raises InvalidValue naming the order's field."""
    known = _OPTIONS.get(kind, ())
    for name, value in given.items():
        if value is not None and name not in known:
            raise InvalidValue(f"a {kind} has no such option", field=_FIELDS.get(name, name), fix="leave it out")
    match kind:
        case AssetKind.ZONE:
            return {"domain": _domain(given.get("domain"), "domain")}
        case AssetKind.RECORD:
            return _record(given, "" if parent is None else parent.options["domain"])
        case AssetKind.BALANCER:
            port = _number(given.get("port"), "port", _PORT_LIMIT)
            machine_port = given.get("machine_port")
            behind = port if machine_port is None else _number(machine_port, "machine_port", _PORT_LIMIT)
            return {"port": str(port), "machine_port": str(behind)}
    return {}


def _record(given: Mapping[str, str | int | None], domain: str) -> dict[str, str]:
    host = _domain(given.get("host"), "host")
    if host != domain and not host.endswith(f".{domain}"):
        raise InvalidValue(f"this name is not in the zone {domain}", field="host", fix=f"such as www.{domain}")
    kind = given.get("type")
    if kind not in RECORD_TYPES:
        raise InvalidValue("there is no such type here", field="record_type", fix=f"one of {', '.join(RECORD_TYPES)}")
    if kind == "CNAME" and host == domain:
        raise InvalidValue("a zone's own name is no other's", field="record_type", fix="A or AAAA, or a name below it")
    ttl = given.get("ttl")
    return {
        "host": host,
        "type": str(kind),
        "value": _value(str(kind), str(given.get("value") or "")),
        "ttl": str(TTL_S if ttl is None else _number(ttl, "ttl_s", TTL_LIMIT_S)),
    }


def _value(kind: str, value: str) -> str:
    if kind == "CNAME":
        return _domain(value, "value")
    if kind == "TXT":
        if not _PRINTABLE.fullmatch(value) or len(value) > _TXT_LENGTH or "\\" in value:
            raise InvalidValue("this text is none that a record holds", field="value", fix="up to 255 ASCII characters")
        return f'"{value}"'
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        address = None
    if address is None or address.version != {"A": 4, "AAAA": 6}[kind]:
        raise InvalidValue(f"this is no address for {kind}", field="value", fix="an address of its kind")
    return str(address)


def _domain(value: object, field: str) -> str:
    text = str(value or "").lower().rstrip(".")
    if not _DOMAIN.fullmatch(text) or len(text) > _DOMAIN_LENGTH:
        raise InvalidValue("this is no domain name", field=field, fix="such as shop.example.org")
    return text


def _number(value: object, field: str, most: int) -> int:
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidValue("a number is wanted", field=field, fix=f"1 to {most}")
    return value
