"""Apache CloudStack: the words stand in a machine's display name, after its name. From its API's reference.

Tags there are set by a second call, and between both a machine would be nobody's; the display name comes with the
creation. libcloud's driver reads the first page of a list and no more, and waits in its thread until a job is done:
here every page is read, and a job is begun and no more.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from libcloud.common.cloudstack import CloudStackConnection, CloudStackResponse
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import LibcloudError
from libcloud.compute.base import Node, NodeImage, NodeLocation, NodeSize, StorageVolume
from libcloud.compute.drivers.cloudstack import CloudStackNodeDriver
from libcloud.compute.types import NodeState

from catalog.clouds import CloudItem, CloudMachine, CloudSize, MachineAction, MachineSpec, MachineStatus, Proof
from catalog.errors import CloudMisbehaved, CloudRefused
from catalog.messages.handshake import Capability
from drivers.clouds.generic import told
from drivers.clouds.marked import MarkedCloud
from drivers.clouds.policy import PAGES_LIMIT
from drivers.clouds.whole_lists import Page, Row, whole

_MACHINES: Final = "listVirtualMachines"
_COMMANDS: Final[Mapping[MachineAction, str]] = {
    MachineAction.START: "startVirtualMachine",
    MachineAction.STOP: "stopVirtualMachine",
    MachineAction.REBOOT: "rebootVirtualMachine",
    MachineAction.DESTROY: "destroyVirtualMachine",
}
_STATUSES: Final[Mapping[str, MachineStatus]] = {
    "Starting": MachineStatus.PENDING,
    "Running": MachineStatus.RUNNING,
    "Stopping": MachineStatus.STOPPED,
    "Stopped": MachineStatus.STOPPED,
    "Error": MachineStatus.FAILED,  # libcloud takes it for gone, and it is listed and holds a name
    "Destroyed": MachineStatus.GONE,
    "Expunging": MachineStatus.GONE,
}
_PARAMETER, _ACCOUNT = 431, 531  # a value that is wrong or names nothing; what the account may not
_UNSUPPORTED: Final = 432
_FORBIDDEN: Final = 403
_EXHAUSTED: Final = frozenset({532, 533, 535})  # its limit, no host with room, a limit again
_PAGE_COUNT: Final = 100  # any installation admits that many
_GIB: Final = 1024**3


_http_error: Any = BaseHTTPError  # its constructor is untyped


class TellingResponse(CloudStackResponse):
    """An answer in which what the account may not is a refusal, whose number there is one of broken servers."""

    def parse_error(self) -> Any:
        """Raise the error that the answer is."""
        if int(self.status) == _ACCOUNT:
            raise _http_error(_FORBIDDEN, "the account may not do so")
        parent: Any = super()
        return parent.parse_error()


class TellingConnection(CloudStackConnection):
    """A connection with such answers."""

    responseCls = TellingResponse  # noqa: N815 - libcloud's name


class WholeDriver(CloudStackNodeDriver):
    """libcloud's driver, whose lists have all their pages and whose creation is begun, not awaited."""

    connectionCls = TellingConnection  # noqa: N815 - libcloud's name
    page_count = _PAGE_COUNT

    def page(self, command: str, number: int, params: Mapping[str, Any]) -> Any:
        """Return one page of a list."""
        single: Any = super()
        return single._sync_request(  # noqa: SLF001 - of its own class
            command, params={**params, "page": number, "pagesize": self.page_count}
        )

    def _sync_request(self, command: str, *positional: Any, **rest: Any) -> Any:
        if not command.startswith("list"):
            single: Any = super()
            return single._sync_request(command, *positional, **rest)  # noqa: SLF001 - of its own class
        # A list counts in ways of its own (templates once a zone), so that the last page is the one that is not full.
        params: Mapping[str, Any] = rest.get("params") or {}
        joined: dict[str, list[Any]] = {}
        for number in range(1, PAGES_LIMIT + 1):
            page = self.page(command, number, params)
            rows = {key: value for key, value in page.items() if isinstance(value, list)}
            for key, more in rows.items():
                joined[key] = [*joined.get(key, ()), *more]
            if sum(map(len, rows.values())) < self.page_count:
                return {**page, **joined}
        raise CloudMisbehaved("the pages of the cloud's list do not end")

    def create_node(  # type: ignore[override]  # asked for by MarkedCloud alone, and by name
        self, *, name: str, size: NodeSize, image: NodeImage, location: NodeLocation, displayed: str, key: str | None
    ) -> Any:
        """Return the new machine as it was asked for: its creation has begun."""
        asked = {
            "name": name, "displayname": displayed, "serviceofferingid": size.id, "templateid": image.id,
            "zoneid": location.id, **({} if key is None else {"keypair": key}),
        }  # fmt: skip
        begun = self._sync_request("deployVirtualMachine", params=asked)
        extra = {"tags": displayed.split(), "size_id": size.id, "image_id": image.id}
        return Node(begun["id"], name, NodeState.PENDING, [], [], self, extra=extra)


_new_driver: Any = WholeDriver


class CloudStackCloud(MarkedCloud):
    """An account at an Apache CloudStack."""

    refusals = (BaseHTTPError, LibcloudError)
    name_rule = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
    name_rule_text = "at most 63 letters, digits and hyphens, a letter first"
    word_rule = re.compile(r"[!-~]{1,60}")
    exhausted = ()

    def _driver(self) -> Any:
        driver = _new_driver(
            self.account.account,
            self.account.secret.reveal(),
            secure=self.target.scheme == "https",
            host=self.target.host,
            port=self.target.port,
            path=self.account.options["path"],
        )
        driver.page_count = min(self.policy.page_count, _PAGE_COUNT)
        return driver

    def _rows(self, driver: Any) -> Sequence[Row]:
        def ask(following: str | None) -> Page:
            number = int(following or "1")
            page = driver.page(_MACHINES, number, {})
            rows, total = page.get("virtualmachine", []), page.get("count", 0)
            more = number * driver.page_count < total
            return Page(rows=rows, total=total, following=str(number + 1) if more else None)

        return whole(ask)

    def _row(self, driver: Any, cloud_id: str) -> Row:
        rows = driver.page(_MACHINES, 1, {"id": cloud_id}).get("virtualmachine", [])
        if len(rows) != 1:
            raise _http_error(_PARAMETER, "entity does not exist")
        row: Row = rows[0]
        return row

    def _right(self, driver: Any) -> Proof | None:
        request = "listApis deployVirtualMachine"
        try:
            found = driver.page("listApis", 1, {"name": "deployVirtualMachine"}).get("api", [])
        except self.refusals as error:
            code = told(error).code
            if code == _UNSUPPORTED:
                return None  # an installation without that plugin
            if code not in {_PARAMETER, _FORBIDDEN}:
                raise
            return Proof(capability=Capability.MACHINE, allowed=False, request=request, detail=f"HTTP {code}")
        return Proof(capability=Capability.MACHINE, allowed=bool(found), request=request, detail=f"{len(found)} told")

    def _node(self, driver: Any, row: Row) -> Node:
        state = row["state"]
        # libcloud fails at a state that it does not know, and one odd machine would hide all others.
        node = super()._node(driver, row if state in driver.NODE_STATE_MAP else {**row, "state": "Migrating"})
        node.extra |= {"state": state, "tags": str(row.get("displayname", "")).split()}
        return node

    def _status(self, node: Node) -> MachineStatus:
        if "state" not in node.extra:
            return super()._status(node)
        return _STATUSES.get(node.extra["state"], MachineStatus.UNKNOWN)

    def _machine(self, node: Node) -> CloudMachine:
        size, image = (self._text(node.extra.get(key) or "") for key in ("size_id", "image_id"))
        return replace(super()._machine(node), size=size, image=image)

    def _size(self, size: NodeSize) -> CloudSize:
        return replace(super()._size(size), disk_gib=None)  # the template's, and libcloud says 0

    def _volume(self, volume: StorageVolume) -> CloudItem:
        parsed = super()._volume(volume)
        return replace(parsed, facts={**parsed.facts, "size_gib": str(int(volume.size or 0) // _GIB)})

    def _options(self, driver: Any, spec: MachineSpec, words: list[str]) -> dict[str, Any]:
        key = self._key(driver, spec)
        displayed = " ".join([spec.name, *words])
        return {
            "location": self._place(driver, spec), "displayed": displayed, "key": None if key is None else key.name,
        }  # fmt: skip

    def _place(self, driver: Any, spec: MachineSpec) -> NodeLocation:
        """Return the zone: as ordered, else the one that the enrolment names by id or name, else the only one."""
        zones: list[NodeLocation] = list(driver.list_locations())
        wanted = spec.location or self.account.region
        found = zones if not wanted else [zone for zone in zones if wanted in {zone.id, zone.name}]
        if len(found) == 1:
            return found[0]
        fix = "one of " + ", ".join(self._text(zone.id, 64) for zone in zones[:20])
        raise CloudRefused("the cloud has no such zone, or several to choose from", field="location", fix=fix)

    def _is_exhausted(self, error: Any) -> bool:
        return error.code in _EXHAUSTED

    def _is_missing(self, error: Any) -> bool:
        return error.code == _PARAMETER and self._says(error, ("entity does not exist", "unable to find"))

    def _act(self, driver: Any, cloud_id: str, action: MachineAction) -> None:
        def ask() -> None:
            driver._sync_request(_COMMANDS[action], params={"id": cloud_id})  # noqa: SLF001 - a job is begun by it

        if action is MachineAction.DESTROY:
            self._unless_missing(ask)
        else:
            ask()
