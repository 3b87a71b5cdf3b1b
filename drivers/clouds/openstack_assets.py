"""Volumes and their snapshots at Cinder, attached by Nova.

Asked for in Cinder's own words over libcloud's connections: libcloud's ``create_volume`` has no room for metadata, by
which a volume whose creation was cut is found again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from libcloud.common.exceptions import BaseHTTPError

from catalog.cloud_assets import AssetKind, AssetSpec, CloudAsset
from catalog.clouds import MachineStatus, Proof
from catalog.errors import CloudMisbehaved, CloudRefused, CloudUnavailable
from catalog.messages.handshake import Capability
from drivers.clouds.assets import Clean, proved_by_list
from drivers.clouds.parsing import identifier, tag_text

# Reads all pages of a list: connection, path, key.
Pages = Callable[[Any, str, str], Iterator[Mapping[str, Any]]]

_NOT_FOUND, _BAD_REQUEST, _TOO_LARGE = 404, 400, 413
_STATUSES: Final[Mapping[str, MachineStatus]] = {
    "creating": MachineStatus.PENDING,
    "downloading": MachineStatus.PENDING,
    "available": MachineStatus.RUNNING,
    "reserved": MachineStatus.RUNNING,
    "attaching": MachineStatus.RUNNING,
    "detaching": MachineStatus.RUNNING,
    "in-use": MachineStatus.RUNNING,
    "backing-up": MachineStatus.RUNNING,
    "deleting": MachineStatus.GONE,
    "error": MachineStatus.FAILED,
    "error_deleting": MachineStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class _CinderShelf:
    driver: Any
    clean: Clean
    pages: Pages

    kind: ClassVar[AssetKind]
    noun: ClassVar[str]
    kept: ClassVar[str]  # why Cinder may keep one
    release: ClassVar[str]  # and what to do about it

    def prove(self) -> Proof:
        # Cinder has no dry run: what may not even be listed is not allowed.
        return proved_by_list(
            self.kind, Capability.VOLUME, lambda: self._request(f"/{self.noun}s", params={"limit": 1})
        )

    def find(self, tags: Mapping[str, str], like: AssetSpec | None) -> Iterator[CloudAsset]:
        del like
        del tags  # not every Cinder filters by metadata, and none says that it did not
        return map(self._told, self.pages(self._connection(), f"/{self.noun}s/detail", f"{self.noun}s"))

    def read(self, cloud_id: str) -> CloudAsset | None:
        try:
            answered = self._request(f"/{self.noun}s/{identifier(cloud_id)}")
        except BaseHTTPError as error:
            if error.code != _NOT_FOUND:
                raise
            return None
        return self._told(self._row(answered))

    def destroy(self, asset: CloudAsset) -> None:
        try:
            self._request(f"/{self.noun}s/{asset.cloud_id}", method="DELETE")
        except BaseHTTPError as error:
            if error.code == _NOT_FOUND:
                return
            if error.code == _BAD_REQUEST:
                # "must be available or error, and have no snapshots": one word for what passes and what does not.
                detail = self._words(error)
                if asset.machines:
                    raise CloudUnavailable(f"the {self.kind} is still being detached", detail=detail) from None
                if asset.status is MachineStatus.PENDING:
                    raise CloudUnavailable(f"the {self.kind} is still being made", detail=detail) from None
                raise CloudRefused(f"the {self.kind} {self.kept}", fix=self.release, detail=detail) from None
            raise

    def attach(self, asset: CloudAsset, machine: str) -> None:
        del asset, machine
        raise CloudRefused(f"a {self.kind} is attached to nothing", field="machine")

    def detach(self, asset: CloudAsset, machine: str) -> None:
        del asset, machine

    def is_exhausted(self, error: BaseHTTPError) -> bool:
        return bool(error.code == _TOO_LARGE)  # Cinder's word for a quota that is used up

    def _create(self, wanted: Mapping[str, Any]) -> CloudAsset:
        told = {name: value for name, value in wanted.items() if value is not None}
        return self._told(self._row(self._request(f"/{self.noun}s", method="POST", data={self.noun: told})))

    def _told(self, row: Mapping[str, Any]) -> CloudAsset:
        cloud_id = identifier(row.get("id"))
        tags, attached = row.get("metadata") or {}, row.get("attachments") or []
        if not isinstance(tags, dict) or not isinstance(attached, list):
            raise CloudMisbehaved(f"the cloud lists a {self.kind} that makes no sense")
        told = {"size": "size_gib", "availability_zone": "location", "volume_type": "type"}
        return CloudAsset(
            kind=self.kind,
            cloud_id=cloud_id,
            name=self.clean(str(row.get("name") or cloud_id), 255),
            status=_STATUSES.get(str(row.get("status")), MachineStatus.UNKNOWN),
            tags={tag_text(key): tag_text(value) for key, value in tags.items()},
            facts={name: self.clean(str(row[key]), 64) for key, name in told.items() if row.get(key)},
            machines=tuple(identifier(each.get("server_id")) for each in attached if isinstance(each, dict)),
        )

    def _row(self, answered: Any) -> Mapping[str, Any]:
        row = answered.get(self.noun) if isinstance(answered, dict) else None
        if not isinstance(row, dict):
            raise CloudMisbehaved(f"the cloud's answer holds no {self.kind}")
        return row

    def _request(self, path: str, **rest: Any) -> Any:
        return self._connection().request(path, **rest).object

    def _connection(self) -> Any:
        return self.driver._get_volume_connection()  # noqa: SLF001 - libcloud's own choice of Cinder's version

    def _words(self, error: BaseHTTPError) -> str:
        return self.clean(str(error.message), 255)


class CinderVolumes(_CinderShelf):
    """Volumes."""

    kind = AssetKind.VOLUME
    noun = "volume"
    kept = "has snapshots or is in use"
    release = "destroy its snapshots first"

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make a volume. Cinder takes no token: look first."""
        return self._create(
            {
                "name": spec.name,
                "size": spec.size_gib,
                "metadata": dict(spec.tags),
                "availability_zone": spec.location,
                "snapshot_id": spec.parent,
            }
        )

    def attach(self, asset: CloudAsset, machine: str) -> None:
        """Have Nova attach it; the guest names the device."""
        wanted = {"volumeAttachment": {"volumeId": asset.cloud_id}}
        self.driver.connection.request(self._attached(machine), method="POST", data=wanted)

    def detach(self, asset: CloudAsset, machine: str) -> None:
        """Have Nova detach it; one that is not attached any more stays so."""
        try:
            self.driver.connection.request(f"{self._attached(machine)}/{asset.cloud_id}", method="DELETE")
        except BaseHTTPError as error:
            if error.code != _NOT_FOUND:
                raise

    @staticmethod
    def _attached(machine: str) -> str:
        return f"/servers/{identifier(machine)}/os-volume_attachments"


class CinderSnapshots(_CinderShelf):
    """Snapshots of volumes."""

    kind = AssetKind.SNAPSHOT
    noun = "snapshot"
    kept = "is in use"
    release = "wait until what is made from it is there"

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make a snapshot, of a volume in use as well."""
        wanted = {"name": spec.name, "volume_id": spec.parent, "metadata": dict(spec.tags), "force": True}
        return self._create(wanted)
