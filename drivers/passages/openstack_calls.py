"""Which OpenStack call needs which capability. Pure; what is not in the tables is refused.

A call is looked at whole: service, method, path, query and, where it decides, the body. Paths are taken only in their
plain form, so that the cloud cannot read them in another way.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from catalog.errors import Denied
from catalog.messages.handshake import Capability
from catalog.ports import Asked, PassageCall

IDENTITY: Final = "identity"
_VOLUMES: Final = ("volumev3", "block-storage", "block-store")
_SERVICE: Final = re.compile(r"/(?P<service>[a-z][a-z0-9-]{0,31})(?P<path>/.*)?")
_PLAIN: Final = re.compile(r"(/([A-Za-z0-9_~@:.-]|%20)+)*/?")
_ID: Final = r"[A-Za-z0-9_~@:.%-]+"
_VERSION: Final = r"/v\d(\.\d+)?"
_PROJECT: Final = r"(/[0-9a-f]{32})?"
_QUERY_LIMIT: Final = 100
# These would look past the account's own project.
_ELSEWHERE: Final = frozenset({"all_tenants", "all_projects", "tenant_id", "project_id"})
# Nova takes a name without a value for a yes.
_NO: Final = frozenset({"0", "false", "no", "none", "off"})


@dataclass(frozen=True, slots=True)
class _Row:
    methods: str
    path: re.Pattern[str]
    capability: Capability
    verb: str


def _row(methods: str, path: str, capability: Capability, verb: str) -> _Row:
    return _Row(methods, re.compile(f"{_VERSION}{_PROJECT}{path}/?"), capability, verb)


_COMPUTE: Final = (
    _row("GET", r"/servers(/detail)?", Capability.MACHINE, "list"),
    _row("GET", rf"/servers/{_ID}(/(ips|metadata|tags|os-interface|os-instance-actions))?", Capability.MACHINE, "list"),
    _row("POST", r"/servers", Capability.MACHINE, "create"),
    _row("DELETE", rf"/servers/{_ID}", Capability.MACHINE, "destroy"),
    _row("GET", rf"/flavors(/{_ID})?", Capability.SIZE, "list"),
    _row("GET", rf"/flavors/{_ID}/os-extra_specs", Capability.SIZE, "list"),
    _row("GET", r"/os-availability-zone", Capability.LOCATION, "list"),
    _row("GET", rf"/os-keypairs(/{_ID})?", Capability.KEY_PAIR, "list"),
)
_IMAGE: Final = (
    _row("GET", rf"/images(/{_ID})?", Capability.IMAGE, "list"),
    _row("GET", r"/schemas/images?", Capability.IMAGE, "list"),
)
_VOLUME: Final = (_row("GET", rf"/volumes(/{_ID})?", Capability.VOLUME, "list"),)
TABLES: Final[Mapping[str, tuple[_Row, ...]]] = {
    "compute": _COMPUTE,
    "image": _IMAGE,
    **dict.fromkeys(_VOLUMES, _VOLUME),
}
ACTIONS: Final[Mapping[str, str]] = {
    "os-start": "start",
    "os-stop": "stop",
    "reboot": "reboot",
    "os-getConsoleOutput": "console",
}
_ACTION: Final = re.compile(rf"{_VERSION}{_PROJECT}/servers/{_ID}/action")
_VERSIONS: Final = re.compile(rf"({_VERSION}{_PROJECT})?/?")
# What a new machine may say of itself. Volumes made along with it are not among it: nobody granted them.
_NEW_MACHINE: Final = frozenset(
    {
        "name",
        "imageRef",
        "flavorRef",
        "key_name",
        "metadata",
        "networks",
        "security_groups",
        "user_data",
        "availability_zone",
        "min_count",
        "max_count",
        "adminPass",
        "config_drive",
        "description",
        "tags",
        "OS-DCF:diskConfig",
        "hostname",
        "block_device_mapping_v2",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a passage's path says: the service's type, and the path behind it (with a slash, or empty)."""

    service: str
    path: str


def place(call: PassageCall) -> Place:
    """Return whither ``call`` goes. Raises Denied for a path that is not in its plain form."""
    found = _SERVICE.fullmatch(call.path)
    path = (found["path"] or "") if found else ""
    if found is None or not _PLAIN.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise Denied("the path is not one of an OpenStack service")
    return Place(service=found["service"], path=path)


def is_discovery(call: PassageCall, at: Place) -> bool:
    """Whether ``call`` only asks which versions a service has; OpenStack's own clients do so before they log in."""
    return (
        call.method == "GET" and not call.query and re.fullmatch(rf"(({_VERSION})?{_PROJECT})/?", at.path) is not None
    )


def asked(call: PassageCall) -> Asked:
    """Return what ``call`` needs. Raises Denied when no capability is known to cover it."""
    at = place(call)
    what = f"{at.service} {call.method} {at.path or '/'}"
    if at.service == IDENTITY:
        return _of_identity(call, at, what)
    if at.service in TABLES and is_discovery(call, at):
        return Asked(what=what)
    if call.method == "POST" and at.service == "compute" and _ACTION.fullmatch(at.path):
        action = _action(call)
        return Asked(what=f"{what} {action}", capability=Capability.MACHINE, verb=ACTIONS[action])
    for row in TABLES.get(at.service, ()):
        if call.method == row.methods and row.path.fullmatch(at.path):
            _refuse_elsewhere(call)
            if row.verb == "create":
                _refuse_extras(call)
            return Asked(what=what, capability=row.capability, verb=row.verb)
    raise Denied(f"no capability covers {what}")


def _of_identity(call: PassageCall, at: Place, what: str) -> Asked:
    told = call.method == "GET" and at.path.rstrip("/") == "/v3/auth/catalog"
    if told or is_token_request(call, at) or is_discovery(call, at):
        return Asked(what=what, is_local=True)
    raise Denied(f"no capability covers {what}")


def is_token_request(call: PassageCall, at: Place) -> bool:
    """Whether ``call`` is a log-in."""
    return (call.method, at.service, at.path) == ("POST", IDENTITY, "/v3/auth/tokens")


def document(call: PassageCall) -> dict[str, Any]:
    """Return the JSON object in the body. Raises Denied when there is none, or a name in it stands twice."""
    try:
        found = json.loads(call.body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Denied("the body is not a JSON object, or says a thing twice")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _action(call: PassageCall) -> str:
    names = list(document(call))
    if len(names) != 1 or names[0] not in ACTIONS:
        shown = ", ".join(name for name in names if name.isprintable())[:100]
        raise Denied(f"no capability covers the action '{shown}' of a server")
    return names[0]


def query(call: PassageCall) -> str:
    """Return the query written anew, so that the cloud reads what was checked. Raises Denied when it is too long."""
    return urlencode(_query(call))


def _query(call: PassageCall) -> list[tuple[str, str]]:
    try:
        return parse_qsl(call.query, keep_blank_values=True, max_num_fields=_QUERY_LIMIT)
    except ValueError:
        raise Denied("the query has too many parameters") from None


def _refuse_elsewhere(call: PassageCall) -> None:
    for name, value in _query(call):
        if name.lower() in _ELSEWHERE and value.lower() not in _NO:
            raise Denied(f"'{name}' looks past the account's own project")


def _refuse_extras(call: PassageCall) -> None:
    body = document(call)
    server = body.get("server")
    if set(body) != {"server"} or not isinstance(server, dict):
        raise Denied("a new machine is described by 'server' and nothing beside it")
    if extra := sorted(set(server) - _NEW_MACHINE):
        raise Denied(f"a machine with '{extra[0][:64]}' goes beyond what 'create' of 'machine' covers")
    devices = server.get("block_device_mapping_v2", [])
    if not isinstance(devices, list) or not all(_is_local(device) for device in devices):
        raise Denied("a machine with volumes of its own goes beyond what 'create' of 'machine' covers")


def _is_local(device: object) -> bool:
    """Whether a device is the machine's own disk, gone when it is gone: how clients name the image to boot from."""
    return (
        isinstance(device, dict)
        and device.get("destination_type") == "local"
        and device.get("source_type") in {"image", "blank"}
    )
