"""Vultr's API, version 2: instances, their starts and halts, and the lists that one is made from."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.emulated.serving import Answer, Asked, Emulator

_WHEN = "2026-01-02T03:04:05+00:00"


def _plan(name: str, ram: int, vcpus: int, disk: int, month: float) -> dict[str, Any]:
    return {
        "id": name, "vcpu_count": vcpus, "ram": ram, "disk": disk, "disk_count": 1, "bandwidth": 1024,
        "monthly_cost": month, "type": "vc2", "locations": ["fra", "ewr"],
    }  # fmt: skip


class Vultr(Emulator):
    """One account's instances."""

    provider = "vultr"
    region = "fra"

    def __init__(self) -> None:
        super().__init__()
        public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self.lists: dict[str, tuple[str, list[dict[str, Any]]]] = {
            "/v2/regions": ("regions", [
                {"id": "fra", "city": "Frankfurt", "country": "DE", "continent": "Europe", "options": []},
                {"id": "ewr", "city": "New Jersey", "country": "US", "continent": "North America", "options": []},
            ]),
            "/v2/plans": ("plans", [
                _plan("vc2-1c-1gb", 1024, 1, 25, 5), _plan("vc2-1c-2gb", 2048, 1, 55, 10),
                _plan("vc2-2c-2gb", 2048, 2, 65, 15), _plan("vc2-2c-4gb", 4096, 2, 80, 20),
            ]),
            "/v2/plans-metal": ("plans_metal", []),
            "/v2/os": ("os", [
                {"id": number, "name": name, "arch": "x64", "family": name.split()[0].lower()}
                for number, name in ((2136, "Debian 12 x64"), (2625, "Debian 13 x64"), (2284, "Ubuntu 24.04 x64"),
                                     (2572, "Fedora 42 x64"))
            ]),
            "/v2/ssh-keys": ("ssh_keys", [
                {"id": f"3b8066a7-{number:04}", "name": f"key {number}", "date_created": _WHEN,
                 "ssh_key": public.decode()} for number in range(4)
            ]),
            "/v2/blocks": ("blocks", []),
        }  # fmt: skip
        self._number = 0

    def refusal(self, status: int, words: str) -> Answer:
        """Return the API's error: its words and the status again."""
        return Answer(status=status, body={"error": words, "status": status})

    def exhausted(self) -> Answer:
        """Return what is said past the account's limit."""
        return self.refusal(400, "You have reached the maximum number of active virtual machines for this account.")

    def served(self, asked: Asked) -> Answer:  # noqa: C901, PLR0911 - one answer for each kind of request
        """Return the answer to one request."""
        match (asked.method, *asked.path.removeprefix("/v2/").split("/")):
            case ("GET", "instances"):
                return self._listed("instances", [self._seen(number) for number in list(self.machines)], asked)
            case ("POST", "instances"):
                return self._made(asked.body)
            case ("POST", "instances", "halt"):
                halted = [self.machines[number] for number in asked.body["instance_ids"] if number in self.machines]
                for row in halted:
                    row["power_status"] = "stopped"
                return Answer(status=204)
            case (_, "instances", number, *_) if number not in self.machines:
                return self.refusal(404, "Invalid instance.")
            case ("GET", "instances", number):
                return Answer(status=200, body={"instance": self._seen(number)})
            case ("DELETE", "instances", number):
                del self.machines[number]
                return Answer(status=204)
            case ("POST", "instances", number, "start" | "reboot"):
                self.machines[number]["power_status"] = "running"
                return Answer(status=204)
            case ("GET", "account"):
                acls = ["support", *(["provisioning", "subscriptions"] if self.may_create else [])]
                return Answer(status=200, body={"account": {"name": "primary", "balance": 0, "acls": acls}})
            case ("GET", *_) if asked.path in self.lists:
                key, rows = self.lists[asked.path]
                return self._listed(key, rows, asked)
        return self.refusal(404, "Invalid API path.")

    def _listed(self, key: str, rows: list[dict[str, Any]], asked: Asked) -> Answer:
        each = min(int(asked.query.get("per_page", 100)), self.page_limit)
        start = int(asked.query.get("cursor", "at-0").removeprefix("at-"))
        following = f"at-{start + each}" if start + each < len(rows) else ""
        meta = {"total": len(rows), "links": {"next": following, "prev": ""}}
        return Answer(status=200, body={key: rows[start : start + each], "meta": meta})

    def _seen(self, number: str) -> dict[str, Any]:
        """Return an instance as it is; a new one has booted by the next look at it."""
        row = self.machines[number]
        now = dict(row)
        row["status"] = "active"
        return now

    def _made(self, body: Any) -> Answer:
        plan = next((row for row in self.lists["/v2/plans"][1] if row["id"] == body["plan"]), None)
        known = body["os_id"] in {row["id"] for row in self.lists["/v2/os"][1]} and body["region"] in {"fra", "ewr"}
        if plan is None or not known:
            return self.refusal(400, "Invalid plan, os_id or region.")
        if len(self.machines) >= self.machines_limit:
            return self.exhausted()
        self._number += 1
        number = f"4f0f12e5-1f84-404f-aa84-{self._number:012}"
        row = {
            "id": number, "os": "Debian", "ram": plan["ram"], "disk": plan["disk"], "main_ip": "203.0.113.30",
            "vcpu_count": plan["vcpu_count"], "region": body["region"], "plan": plan["id"], "date_created": _WHEN,
            "status": "pending", "allowed_bandwidth": 1000, "netmask_v4": "255.255.254.0", "gateway_v4": "203.0.113.1",
            "power_status": "running", "server_status": "installingbooting", "v6_network": "", "v6_main_ip": "",
            "v6_network_size": 0, "label": body["label"], "internal_ip": "", "hostname": "", "tags": body["tags"],
            "os_id": body["os_id"], "app_id": 0, "image_id": "", "firewall_group_id": "", "features": [],
        }  # fmt: skip
        self.machines[number] = row
        return Answer(status=202, body={"instance": {**row, "default_password": "made-up"}})
