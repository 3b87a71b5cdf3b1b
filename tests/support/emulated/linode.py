"""Linode's API, version 4: instances, their boots and shutdowns, and the lists that one is made from."""

from typing import Any

from tests.support.emulated.serving import Answer, Asked, Emulator

_WHEN = "2026-01-02T03:04:05"
_BOOTING = {"provisioning": "booting", "booting": "running"}
_CHANGES = {"boot": "running", "shutdown": "offline", "reboot": "running"}


def _type(name: str, label: str, *, memory: int, vcpus: int, disk: int, hour: float) -> dict[str, Any]:
    return {
        "id": name, "label": label, "class": "standard", "disk": disk, "memory": memory, "vcpus": vcpus, "gpus": 0,
        "network_out": 1000, "transfer": 1000, "price": {"hourly": hour, "monthly": hour * 667},
        "addons": {"backups": {"price": {"hourly": 0.003, "monthly": 2.0}}}, "successor": None,
    }  # fmt: skip


def _image(name: str, label: str, vendor: str) -> dict[str, Any]:
    return {
        "id": name, "label": label, "type": "manual", "description": "", "created": _WHEN, "created_by": "linode",
        "is_public": True, "size": 1300, "eol": None, "vendor": vendor, "deprecated": False,
    }  # fmt: skip


class Linode(Emulator):
    """One account's instances."""

    provider = "linode"
    region = "eu-central"

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, list[dict[str, Any]]] = {
            "/v4/regions": [
                {"id": name, "label": name, "country": country, "status": "ok", "capabilities": ["Linodes"],
                 "resolvers": {"ipv4": "", "ipv6": ""}} for name, country in (("eu-central", "de"), ("us-east", "us"))
            ],
            "/v4/linode/types": [
                _type("g6-nanode-1", "Nanode 1GB", memory=1024, vcpus=1, disk=25600, hour=0.0075),
                _type("g6-standard-1", "Linode 2GB", memory=2048, vcpus=1, disk=51200, hour=0.018),
                _type("g6-standard-2", "Linode 4GB", memory=4096, vcpus=2, disk=81920, hour=0.036),
                _type("g6-standard-4", "Linode 8GB", memory=8192, vcpus=4, disk=163840, hour=0.072),
            ],
            "/v4/images": [
                _image("linode/debian12", "Debian 12", "Debian"), _image("linode/debian13", "Debian 13", "Debian"),
                _image("linode/ubuntu24.04", "Ubuntu 24", "Ubuntu"), _image("linode/fedora42", "Fedora 42", "Fedora"),
            ],
            "/v4/profile/sshkeys": [
                {"id": number, "label": f"key {number}", "ssh_key": f"ssh-ed25519 AAAA{number}", "created": _WHEN}
                for number in range(4)
            ],
            "/v4/volumes": [],
        }  # fmt: skip
        self.busy: set[str] = set()  # instances at which something is still under way
        self._number = 700_100

    def refusal(self, status: int, words: str) -> Answer:
        """Return the API's error: a list of reasons."""
        return Answer(status=status, body={"errors": [{"reason": words}]})

    def exhausted(self) -> Answer:
        """Return what is said past the account's limit."""
        return self.refusal(400, "Account Limit reached. Please open a support ticket.")

    def served(self, asked: Asked) -> Answer:  # noqa: PLR0911 - one answer for each kind of request
        """Return the answer to one request."""
        match (asked.method, *asked.path.removeprefix("/v4/").split("/")):
            case ("GET", "linode", "instances"):
                return self._listed([self._seen(number) for number in list(self.machines)], asked)
            case ("POST", "linode", "instances"):
                return self._made(asked.body)
            case (_, "linode", "instances", number, *_) if number not in self.machines:
                return self.refusal(404, "Not found")
            case ("GET", "linode", "instances", number):
                return Answer(status=200, body=self._seen(number))
            case ("DELETE", "linode", "instances", number):
                del self.machines[number]
                return Answer(status=200, body={})
            case ("POST", "linode", "instances", number, change):
                return self._changed(number, change)
            case ("GET", "profile"):
                scopes = f"linodes:{'read_write' if self.may_create else 'read_only'} images:read_only"
                return Answer(status=200, body={"username": "primary"}, headers={"X-OAuth-Scopes": scopes})
            case ("GET", *_) if asked.path in self.lists:
                return self._listed(self.lists[asked.path], asked)
        return self.refusal(404, "Not found")

    def _listed(self, rows: list[dict[str, Any]], asked: Asked) -> Answer:
        page, number, pages = self.cut(rows, asked, size_of_page="page_size")
        return Answer(status=200, body={"data": page, "page": number, "pages": pages, "results": len(rows)})

    def _seen(self, number: str) -> dict[str, Any]:
        """Return an instance as it is; a new one is a step further at the next look at it."""
        row = self.machines[number]
        now = dict(row)
        row["status"] = _BOOTING.get(row["status"], row["status"])
        return now

    def _made(self, body: Any) -> Answer:
        types = {row["id"]: row for row in self.lists["/v4/linode/types"]}
        known = body["type"] in types and body["image"] in {row["id"] for row in self.lists["/v4/images"]}
        if not known or body["region"] not in {row["id"] for row in self.lists["/v4/regions"]}:
            return self.refusal(400, "A valid type, image and region are required")
        if any(row["label"] == body["label"] for row in self.machines.values()):
            return self.refusal(400, "Label must be unique among your linodes")
        if not all(3 <= len(tag) <= 50 for tag in body["tags"]) or len(body["root_pass"]) < 11:
            return self.refusal(400, "Length must be 3-50 characters")
        if len(self.machines) >= self.machines_limit:
            return self.exhausted()
        self._number += 1
        row = {
            "id": self._number, "label": body["label"], "status": "provisioning", "type": body["type"],
            "image": body["image"], "region": body["region"], "ipv4": ["203.0.113.20", "192.168.133.7"], "ipv6": None,
            "created": _WHEN, "updated": _WHEN, "hypervisor": "kvm", "specs": {"vcpus": 1}, "alerts": {}, "group": "",
            "backups": {"enabled": False}, "watchdog_enabled": True, "tags": body["tags"],
        }  # fmt: skip
        self.machines[str(self._number)] = row
        return Answer(status=200, body=dict(row))

    def _changed(self, number: str, change: str) -> Answer:
        row = self.machines[number]
        if number in self.busy:
            return self.refusal(400, "Linode busy.")
        if row["status"] == _CHANGES[change] and change != "reboot":
            return self.refusal(400, f"Linode {number} already {row['status']}.")
        row["status"] = _CHANGES[change]
        return Answer(status=200, body={})
