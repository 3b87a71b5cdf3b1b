"""DigitalOcean's API, version 2: droplets, their actions, and the lists that one is made from."""

from typing import Any

from tests.support.emulated.serving import Answer, Asked, Emulator

_WHEN = "2026-01-02T03:04:05Z"
_ACTIONS = {"power_on": "active", "shutdown": "off", "power_off": "off", "reboot": "active"}


def _image(number: int, distribution: str, name: str, slug: str) -> dict[str, Any]:
    return {
        "id": number, "name": name, "type": "base", "distribution": distribution, "slug": slug, "public": True,
        "regions": ["fra1", "ams3"], "created_at": _WHEN, "min_disk_size": 7, "size_gigabytes": 1.2,
        "description": name, "tags": [], "status": "available",
    }  # fmt: skip


def _size(slug: str, memory: int, vcpus: int, disk: int, month: float) -> dict[str, Any]:
    return {
        "slug": slug, "memory": memory, "vcpus": vcpus, "disk": disk, "transfer": 1.0, "price_monthly": month,
        "price_hourly": round(month / 672, 5), "regions": ["fra1", "ams3"], "available": True, "description": "Basic",
    }  # fmt: skip


class DigitalOcean(Emulator):
    """One team's droplets."""

    provider = "digitalocean"
    region = "fra1"

    def __init__(self) -> None:
        super().__init__()
        regions = (("fra1", "Frankfurt 1"), ("ams3", "Amsterdam 3"))
        self.lists: dict[str, tuple[str, list[dict[str, Any]]]] = {
            "/v2/regions": ("regions", [
                {"slug": slug, "name": name, "sizes": [], "available": True, "features": ["metadata"]}
                for slug, name in regions
            ]),
            "/v2/sizes": ("sizes", [
                _size("s-1vcpu-1gb", 1024, 1, 25, 6.0), _size("s-1vcpu-2gb", 2048, 1, 50, 12.0),
                _size("s-2vcpu-2gb", 2048, 2, 60, 18.0), _size("s-2vcpu-4gb", 4096, 2, 80, 24.0),
            ]),
            "/v2/images": ("images", [
                _image(110001, "Debian", "12 x64", "debian-12-x64"), _image(110002, "Debian", "13 x64", "debian-13"),
                _image(110003, "Ubuntu", "24.04 x64", "ubuntu-24-04-x64"), _image(110004, "Fedora", "42", "fedora-42"),
            ]),
            "/v2/account/keys": ("ssh_keys", [
                {"id": 512190 + number, "fingerprint": f"3b:16:bf:{number:02x}", "public_key": "ssh-ed25519 AAAA",
                 "name": f"key {number}"} for number in range(4)
            ]),
            "/v2/volumes": ("volumes", []),
        }  # fmt: skip
        self.busy: set[str] = set()  # droplets at which something is still under way
        self._number = 3_164_400

    def refusal(self, status: int, words: str) -> Answer:
        """Return the API's error: an id and a message."""
        return Answer(
            status=status,
            body={"id": {401: "Unauthorized", 404: "not_found"}.get(status, "unprocessable_entity"), "message": words},
        )

    def exhausted(self) -> Answer:
        """Return what is said past the team's limit."""
        return self.refusal(422, "creating this/these droplet(s) will exceed your droplet limit")

    def served(self, asked: Asked) -> Answer:  # noqa: PLR0911 - one answer for each kind of request
        """Return the answer to one request."""
        _, _, *rest = asked.path.split("/")
        match (asked.method, *rest):
            case ("GET", "droplets"):
                return self._listed("/v2/droplets", "droplets", list(self.machines.values()), asked)
            case ("POST", "droplets"):
                return self._made(asked.body)
            case (_, "droplets", number, *_) if number not in self.machines:
                return self.refusal(404, "The resource you were accessing could not be found.")
            case ("GET", "droplets", number):
                return Answer(status=200, body={"droplet": self._seen(number)})
            case ("DELETE", "droplets", number):
                del self.machines[number]
                return Answer(status=204)
            case ("POST", "droplets", number, "actions"):
                return self._acted(number, asked.body["type"])
            case ("GET", *_) if asked.path in self.lists:
                key, rows = self.lists[asked.path]
                return self._listed(asked.path, key, rows, asked)
        return self.refusal(404, "The resource you requested could not be found.")

    def _listed(self, path: str, key: str, rows: list[Any], asked: Asked) -> Answer:
        page, number, pages = self.cut(rows, asked, size_of_page="per_page")
        at = f"https://api.digitalocean.com{path}?per_page={self.page_limit}&page="
        links = {} if number >= pages else {"pages": {"next": f"{at}{number + 1}", "last": f"{at}{pages}"}}
        body = {key: page, "links": links, "meta": {"total": len(rows)}}
        if key == "droplets":
            body[key] = [self._seen(str(row["id"])) for row in page]
        return Answer(status=200, body=body)

    def _seen(self, number: str) -> dict[str, Any]:
        """Return a droplet as it is; a new one has booted by the next look at it."""
        row = self.machines[number]
        now = dict(row)
        row["status"] = "active" if row["status"] == "new" else row["status"]
        return now

    def _made(self, body: Any) -> Answer:
        size = next((row for row in self.lists["/v2/sizes"][1] if row["slug"] == body["size"]), None)
        images = self.lists["/v2/images"][1]
        image = next((row for row in images if str(body["image"]) in {str(row["id"]), row["slug"]}), None)
        if size is None or image is None or body["region"] not in {"fra1", "ams3"}:
            return self.refusal(422, "You specified an invalid image, size or region for Droplet creation.")
        if len(self.machines) >= self.machines_limit:
            return self.exhausted()
        self._number += 1
        row = {
            "id": self._number, "name": body["name"], "memory": size["memory"], "vcpus": size["vcpus"],
            "disk": size["disk"], "locked": False, "status": "new", "kernel": None, "created_at": _WHEN,
            "features": [], "backup_ids": [], "snapshot_ids": [], "image": image, "size": size,
            "size_slug": size["slug"], "region": self.lists["/v2/regions"][1][0], "tags": body.get("tags") or [],
            "networks": {"v4": [{"ip_address": "203.0.113.10", "type": "public"}], "v6": []},
        }  # fmt: skip
        self.machines[str(self._number)] = row
        return Answer(status=202, body={"droplet": dict(row), "links": {}})

    def _acted(self, number: str, kind: str) -> Answer:
        row = self.machines[number]
        if number in self.busy:
            return self.refusal(422, "Droplet already has a pending event.")
        if row["status"] == _ACTIONS[kind] and kind != "reboot":
            return self.refusal(422, f"Droplet is already {'on' if kind == 'power_on' else 'off'}.")
        row["status"] = _ACTIONS[kind]
        return Answer(status=201, body={"action": {"id": 1, "status": "in-progress", "type": kind}})
