"""Apache CloudStack's API: one path, a command in the query, each request signed; machines are made by jobs."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from tests.support.emulated.serving import ACCOUNT, TOKEN, Answer, Asked, Emulator

_AFTER = {
    "startVirtualMachine": "Running", "stopVirtualMachine": "Stopped", "rebootVirtualMachine": "Running",
    "destroyVirtualMachine": "Destroyed",
}  # fmt: skip
_NO_SUCH = (
    "Unable to execute API command {} due to invalid value. Invalid parameter id value={} due to incorrect long value "
    "format, or entity does not exist or due to incorrect parameter annotation for the field in api cmd class."
)


def _template(number: int, name: str, system: str) -> dict[str, Any]:
    return {
        "id": f"7e1f0f6c-0000-4000-8000-{number:012}", "name": name, "displaytext": name, "hypervisor": "KVM",
        "format": "QCOW2", "ostypename": system, "size": 2**31, "isready": True, "zoneid": "zone-1",
    }  # fmt: skip


def _offering(number: int, name: str, cpunumber: int, memory: int) -> dict[str, Any]:
    return {"id": f"3c0a0f6c-0000-4000-8000-{number:012}", "name": name, "cpunumber": cpunumber, "memory": memory}


class CloudStack(Emulator):
    """One account's machines."""

    provider = "cloudstack"
    region = "Frankfurt"
    options = {"path": "/client/api"}  # noqa: RUF012 - read by the tests, changed by nobody

    def __init__(self) -> None:
        super().__init__()
        zones = [{"id": f"9a0a0f6c-0000-4000-8000-{number:012}", "name": name} for number, name in
                 enumerate(("Frankfurt", "Lyon"))]  # fmt: skip
        self.lists: dict[str, tuple[str, list[dict[str, Any]]]] = {
            "listZones": ("zone", zones),
            "listServiceOfferings": ("serviceoffering", [
                _offering(1, "small", 1, 1024), _offering(2, "medium", 1, 2048), _offering(3, "large", 2, 4096),
                _offering(4, "huge", 4, 8192),
            ]),
            "listTemplates": ("template", [
                _template(1, "debian-12", "Debian 12"), _template(2, "debian-13", "Debian 13"),
                _template(3, "ubuntu-24", "Ubuntu 24"), _template(4, "rocky-9", "Rocky 9"),
            ]),
            "listSSHKeyPairs": ("sshkeypair", [
                {"name": f"key {number}", "fingerprint": f"aa:bb:{number:02x}"} for number in range(4)
            ]),
            "listVolumes": ("volume", []),
            "listPublicIpAddresses": ("publicipaddress", []),
        }  # fmt: skip
        self._number = 0

    @property
    def present(self) -> list[str]:
        """Return the ids of the machines that are not destroyed; those are still listed for a while."""
        return [number for number, row in self.machines.items() if row["state"] != "Destroyed"]

    def knows(self, asked: Asked) -> bool:
        """Return whether the request is signed by the account: all other parameters, sorted, in lower case."""
        pairs = sorted((name.lower(), value) for name, value in asked.query.items() if name != "signature")
        text = "&".join(f"{name}={quote(value, safe='*[]')}" for name, value in pairs).lower().replace("+", "%20")
        signature = base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()
        return asked.query.get("apiKey") == ACCOUNT and asked.query.get("signature") == signature

    def refusal(self, status: int, words: str) -> Answer:
        """Return the API's error, in a response of its own name."""
        return Answer(status=status, body={"errorresponse": {"errorcode": status, "errortext": words}})

    def exhausted(self) -> Answer:
        """Return what is said past the account's limit."""
        return self.refusal(535, "Maximum amount of resources of Type = 'user_vm' for Account has been exceeded.")

    def is_creation(self, asked: Asked) -> bool:
        """Return whether a machine is asked for."""
        return asked.query.get("command") == "deployVirtualMachine"

    def ordered(self, asked: Asked) -> tuple[str, Any]:
        """Return the zone and the key of a creation."""
        return asked.query["zoneid"], asked.query["keypair"]

    def bear(self, cloud_id: str, words: Sequence[str]) -> None:
        """Let a machine bear ``words`` and no others."""
        self.machines[cloud_id]["displayname"] = " ".join(words)

    def served(self, asked: Asked) -> Answer:  # noqa: PLR0911 - one answer for each kind of request
        """Return the answer to one request."""
        command = asked.query["command"]
        cloud_id = asked.query.get("id")
        if asked.path != "/client/api":
            return self.refusal(404, "there is no API")
        if cloud_id is not None and cloud_id not in self.machines:
            return self.refusal(431, _NO_SUCH.format(command.lower(), cloud_id))
        if command == "listVirtualMachines":
            wanted = list(self.machines) if cloud_id is None else [cloud_id]
            return self._listed(command, "virtualmachine", [self._seen(number) for number in wanted], asked)
        if command == "deployVirtualMachine":
            return self._made(asked.query)
        if command in _AFTER and cloud_id is not None:
            self.machines[cloud_id]["state"] = _AFTER[command]
            return self._said(command, {"jobid": "job-2"})
        if command == "listApis":
            known = [{"name": asked.query["name"], "isasync": True}] if self.may_create else []
            return self._listed(command, "api", known, asked)
        if command in self.lists:
            key, rows = self.lists[command]
            return self._listed(command, key, rows, asked)
        return self.refusal(432, f"The given command '{command}' either does not exist")

    def _said(self, command: str, body: dict[str, Any]) -> Answer:
        return Answer(status=200, body={f"{command.lower()}response": body})

    def _listed(self, command: str, key: str, rows: list[dict[str, Any]], asked: Asked) -> Answer:
        page, _, _ = self.cut(rows, asked, size_of_page="pagesize")
        # An empty list is not told at all.
        return self._said(command, {"count": len(rows), key: page} if rows else {})

    def _seen(self, number: str) -> dict[str, Any]:
        """Return a machine as it is; a new one has booted by the next look at it."""
        row = self.machines[number]
        now = dict(row)
        row["state"] = "Running" if row["state"] == "Starting" else row["state"]
        return now

    def _made(self, query: Any) -> Answer:
        known = {row["id"] for _, rows in self.lists.values() for row in rows if "id" in row}
        for name in ("serviceofferingid", "templateid", "zoneid"):
            if query[name] not in known:
                return self.refusal(431, f"Invalid parameter {name} value={query[name]}")
        if len(self.present) >= self.machines_limit:
            return self.exhausted()
        self._number += 1
        number = f"b1f0a6c0-0000-4000-8000-{self._number:012}"
        self.machines[number] = {
            "id": number, "name": query["name"], "displayname": query["displayname"], "state": "Starting",
            "zoneid": query["zoneid"], "templateid": query["templateid"], "haenable": False,
            "serviceofferingid": query["serviceofferingid"], "created": "2026-01-02T03:04:05+0000",
            "nic": [{"id": "nic-1", "ipaddress": "10.1.1.7"}], "securitygroup": [], "affinitygroup": [], "tags": [],
        }  # fmt: skip
        return self._said("deployVirtualMachine", {"id": number, "jobid": "job-1"})
