"""OpenStack's Keystone, Cinder and the part of Nova that attaches volumes, as their API references describe them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.support.emulated.serving import TOKEN, Answer, Asked, Emulator, host_of

_SIZE_LIMIT_GIB = 100


class Cinder(Emulator):
    """One project's volumes and snapshots. What is attached is in use, and detached at the second look."""

    provider = "openstack"
    region = "RegionOne"
    options: ClassVar[Mapping[str, str]] = {"project": "shop"}

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, dict[str, Any]]] = {"volumes": {}, "snapshots": {}}
        self._number = 0

    def knows(self, asked: Asked) -> bool:
        """Return whether the token is the one that Keystone gave; nobody has one before."""
        return asked.path == "/v3/auth/tokens" or asked.headers.get("X-Auth-Token") == TOKEN

    def refusal(self, status: int, words: str) -> Answer:
        """Return Cinder's error."""
        return Answer(status=status, body={"badRequest": {"code": status, "message": words}})

    def exhausted(self) -> Answer:
        """Return what is said past the quota."""
        words = "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota 'volumes'."
        return Answer(status=413, body={"overLimit": {"code": 413, "message": words, "retryAfter": "0"}})

    def served(self, asked: Asked) -> Answer:
        """Answer as Keystone, Cinder or Nova."""
        if asked.path == "/v3/auth/tokens":
            return self._logged_in()
        service, *path = asked.path.strip("/").split("/")
        if service == "compute":
            return self._attachments(asked, path[2], path[4] if len(path) > 4 else None)
        return self._stored(asked, path[2], path[3] if len(path) > 3 else None)

    def _logged_in(self) -> Answer:
        base = f"https://{host_of(self.provider)}"
        catalog = [
            {"type": kind, "name": name, "id": name, "endpoints": [
                {"interface": "public", "region": self.region, "region_id": self.region, "id": name, "url": base + at}
            ]}
            for kind, name, at in (
                ("compute", "nova", "/compute/v2.1"), ("volumev3", "cinderv3", "/volume/v3/shop"),
            )
        ]  # fmt: skip
        token = {
            "catalog": catalog, "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
            "roles": [{"id": "r", "name": "member"}], "user": {"id": "u", "name": "primary"},
            "project": {"id": "shop", "name": "shop"}, "methods": ["password"],
        }  # fmt: skip
        return Answer(status=201, body={"token": token}, headers={"X-Subject-Token": TOKEN})

    def _stored(self, asked: Asked, kind: str, which: str | None) -> Answer:
        rows, one = self.rows[kind], kind.removesuffix("s")
        if asked.method == "POST":
            return self._made(one, asked.body[one])
        if which in {None, "detail"}:
            after = asked.query.get("marker")
            ids = list(rows)
            begin = 0 if after is None else ids.index(after) + 1
            page = ids[begin : begin + self.page_limit]
            more = {}
            if begin + self.page_limit < len(ids):
                more = {f"{kind}_links": [{"rel": "next", "href": f"https://elsewhere.example/x?marker={page[-1]}"}]}
            return Answer(status=200, body={kind: [rows[each] for each in page], **more})
        if which not in rows:
            return self.refusal(404, f"{one} {which} could not be found.")
        if asked.method == "DELETE":
            busy = rows[which]["status"] == "creating" or rows[which].get("attachments")
            if busy or any(s["volume_id"] == which for s in self.rows["snapshots"].values()):
                return self.refusal(400, "Volume status must be available and it must have no snapshots.")
            del rows[which]
            return Answer(status=202)
        return Answer(status=200, body={one: rows[which]})

    def _made(self, one: str, wanted: dict[str, Any]) -> Answer:
        self._number += 1
        row = {"id": f"{one}-{self._number:08}", "status": "available", "metadata": wanted["metadata"]}
        row["name"] = wanted["name"]
        if one == "volume":
            size = wanted.get("size") or self.rows["snapshots"][wanted["snapshot_id"]]["size"]
            if size > _SIZE_LIMIT_GIB:
                return self.exhausted()
            row |= {"size": size, "attachments": [], "availability_zone": "nova"}
        else:
            assert wanted["force"]
            row |= {"volume_id": wanted["volume_id"], "size": self.rows["volumes"][wanted["volume_id"]]["size"]}
        self.rows[f"{one}s"][row["id"]] = row
        return Answer(status=202, body={one: row})

    def _attachments(self, asked: Asked, machine: str, volume: str | None) -> Answer:
        if asked.method == "POST":
            row = self.rows["volumes"][asked.body["volumeAttachment"]["volumeId"]]
            row |= {"status": "in-use", "attachments": [{"server_id": machine, "id": row["id"]}]}
            return Answer(status=200, body={"volumeAttachment": {"id": row["id"], "serverId": machine}})
        row = self.rows["volumes"][str(volume)]
        row |= {"status": "available", "attachments": []}
        return Answer(status=202)
