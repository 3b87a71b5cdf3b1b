"""Volumes and their snapshots at EC2, asked for in its own words.

Not by libcloud's ``create_volume``: it sends no client token, and writes the tags by a second call, so that a volume
whose creation was cut in between would carry none and never be found again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from libcloud.common.exceptions import BaseHTTPError

from catalog.cloud_assets import AssetKind, AssetSpec, CloudAsset
from catalog.clouds import MachineStatus, Proof
from catalog.errors import CloudMisbehaved, CloudRefused, CloudUnavailable
from catalog.messages.handshake import Capability
from drivers.clouds import ec2_pages
from drivers.clouds.assets import Clean
from drivers.clouds.parsing import identifier, tag_text

_DRY_RUN_ALLOWED, _DRY_RUN_DENIED = 412, 403
_EXHAUSTED: Final = ("VolumeLimitExceeded", "MaxIOPSLimitExceeded", "SnapshotLimitExceeded", "ResourceLimitExceeded")
# Past the permission, which is looked at first: the dry run names what does not exist.
_NO_ZONE: Final = "crossway-none"
_PAST_PERMISSION: Final = ("InvalidVolume", "InvalidZone", "InvalidParameter", "InvalidSnapshot", "InvalidAvailability")
# Amazon's own suggestion for what the operating system does not name itself.
_DEVICES: Final = tuple(f"/dev/sd{letter}" for letter in "fghijklmnop")
_STATUSES: Final[Mapping[str, MachineStatus]] = {
    "creating": MachineStatus.PENDING,
    "available": MachineStatus.RUNNING,
    "in-use": MachineStatus.RUNNING,
    "deleting": MachineStatus.GONE,
    "deleted": MachineStatus.GONE,
    "error": MachineStatus.FAILED,
    "pending": MachineStatus.PENDING,
    "completed": MachineStatus.RUNNING,
}


@dataclass(frozen=True, slots=True)
class _Ec2Shelf:
    """What volumes and snapshots have in common."""

    driver: Any
    clean: Clean
    page_count: int

    kind: ClassVar[AssetKind]
    noun: ClassVar[str]  # as EC2 spells it: Volume
    status_name: ClassVar[str]

    def prove(self) -> Proof:
        request = f"DryRun Create{self.noun}"
        try:
            made = self._ask(f"Create{self.noun}", DryRun="true", **self._impossible())
        except BaseHTTPError as error:
            told = f"HTTP {error.code}"
            if str(error.message).startswith(_PAST_PERMISSION):
                told, allowed = "refused only for what does not exist", True
            elif error.code in {_DRY_RUN_ALLOWED, _DRY_RUN_DENIED}:
                allowed = error.code == _DRY_RUN_ALLOWED
            else:
                raise
            return Proof(capability=Capability.VOLUME, allowed=allowed, request=request, detail=told)
        if cloud_id := ec2_pages.text(made, f"{self.noun.lower()}Id"):
            # It knows no dry run of this and not its own zones, and nobody would ever find what it has made.
            self._ask(f"Delete{self.noun}", **{f"{self.noun}Id": identifier(cloud_id)})
        raise CloudMisbehaved("the cloud did not say what a dry run would have come to")

    def find(self, tags: Mapping[str, str], like: AssetSpec | None) -> Iterator[CloudAsset]:
        del like
        asked: dict[str, str] = {"Action": f"Describe{self.noun}s"}
        for number, (key, value) in enumerate(tags.items(), start=1):
            asked |= {f"Filter.{number}.Name": f"tag:{literal(key)}", f"Filter.{number}.Value.1": literal(value)}
        return self._listed(asked, self.page_count)

    def read(self, cloud_id: str) -> CloudAsset | None:
        asked = {"Action": f"Describe{self.noun}s", f"{self.noun}Id.1": cloud_id}
        found: CloudAsset | None = self._unless_missing(lambda: next(self._listed(asked, None), None))
        return found

    def destroy(self, asset: CloudAsset) -> None:
        try:
            self._unless_missing(lambda: self._ask(f"Delete{self.noun}", **{f"{self.noun}Id": asset.cloud_id}))
        except BaseHTTPError as error:
            if not str(error.message).startswith("VolumeInUse"):
                raise
            raise CloudUnavailable("the volume is still being detached") from None

    def attach(self, asset: CloudAsset, machine: str) -> None:
        del asset, machine
        raise CloudRefused(f"a {self.kind} is attached to nothing", field="machine")

    def detach(self, asset: CloudAsset, machine: str) -> None:
        del asset, machine

    def is_exhausted(self, error: BaseHTTPError) -> bool:
        return str(error.message).startswith(_EXHAUSTED)

    def _impossible(self) -> dict[str, str]:
        """Return parameters with which nothing is made by a server that does not know dry runs either."""
        raise NotImplementedError

    def _tagged(self, spec: AssetSpec) -> dict[str, str]:
        """Return the parameters that write name and tags in the call that creates."""
        told = {"TagSpecification.1.ResourceType": str(self.kind)}
        for number, (key, value) in enumerate({"Name": spec.name, **spec.tags}.items(), start=1):
            told |= {f"TagSpecification.1.Tag.{number}.Key": key, f"TagSpecification.1.Tag.{number}.Value": value}
        return told

    def _listed(self, asked: Mapping[str, str], page_count: int | None) -> Iterator[CloudAsset]:
        group = f"{self.noun.lower()}Set"
        return map(self._told, ec2_pages.items(self.driver.connection, asked, group, page_count=page_count))

    def _told(self, element: Any) -> CloudAsset:
        cloud_id = identifier(ec2_pages.text(element, f"{self.noun.lower()}Id"))
        pairs = (
            (ec2_pages.text(each, "key"), ec2_pages.text(each, "value")) for each in ec2_pages.inside(element, "tagSet")
        )
        tags = {tag_text(key): tag_text(value) for key, value in pairs}
        return CloudAsset(
            kind=self.kind,
            cloud_id=cloud_id,
            name=self.clean(tags.pop("Name", "") or cloud_id, 255),
            status=_STATUSES.get(ec2_pages.text(element, self.status_name), MachineStatus.UNKNOWN),
            tags=tags,
            facts=self._facts(element),
            machines=tuple(
                identifier(ec2_pages.text(each, "instanceId")) for each in ec2_pages.inside(element, "attachmentSet")
            ),
            reason=self.clean(ec2_pages.text(element, "statusMessage"), 255),
        )

    def _facts(self, element: Any) -> dict[str, str]:
        names = {"size": "size_gib", "volumeSize": "size_gib", "availabilityZone": "location", "volumeType": "type"}
        told = {name: ec2_pages.text(element, key) for key, name in names.items() if ec2_pages.text(element, key)}
        return {name: self.clean(value, 64) for name, value in told.items()}

    def _ask(self, action: str, **parameters: str) -> Any:
        return self.driver.connection.request("/", params={"Action": action, **parameters}).object

    def _unless_missing(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except BaseHTTPError as error:
            if str(error.message).startswith((f"Invalid{self.noun}.NotFound", f"Invalid{self.noun}ID.NotFound")):
                return None
            raise


class Ec2Volumes(_Ec2Shelf):
    """Volumes (EBS)."""

    kind = AssetKind.VOLUME
    noun = "Volume"
    status_name = "status"

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make a volume in the zone that is asked for, or in the first one."""
        zone = spec.location or self.driver.list_locations()[0].name
        parameters = {"AvailabilityZone": zone, **self._tagged(spec)}
        if spec.size_gib is not None:
            parameters["Size"] = str(spec.size_gib)
        if spec.parent is not None:
            parameters["SnapshotId"] = spec.parent
        if spec.client_token:
            parameters["ClientToken"] = spec.client_token
        return self._told(self._ask("CreateVolume", **parameters))

    def attach(self, asset: CloudAsset, machine: str) -> None:
        """Attach it as the first device whose name the machine does not use yet."""
        taken = self._devices(machine)
        device = next((name for name in _DEVICES if name not in taken), None)
        if device is None:
            raise CloudRefused("the machine has no room for a further volume", field="machine")
        self._ask("AttachVolume", VolumeId=asset.cloud_id, InstanceId=machine, Device=device)

    def detach(self, asset: CloudAsset, machine: str) -> None:
        """Detach it; one that is not attached any more stays so."""
        try:
            self._ask("DetachVolume", VolumeId=asset.cloud_id, InstanceId=machine)
        except BaseHTTPError as error:
            if not str(error.message).startswith(("IncorrectState", "InvalidAttachment")):
                raise

    def _impossible(self) -> dict[str, str]:
        return {"Size": "1", "AvailabilityZone": _NO_ZONE}

    def _devices(self, machine: str) -> set[str]:
        asked = {"Action": "DescribeInstances", "InstanceId.1": machine}
        return {
            ec2_pages.text(device, "deviceName")
            for reservation in ec2_pages.items(self.driver.connection, asked, "reservationSet", page_count=None)
            for told in ec2_pages.inside(reservation, "instancesSet")
            for device in ec2_pages.inside(told, "blockDeviceMapping")
        }


class Ec2Snapshots(_Ec2Shelf):
    """Snapshots of volumes."""

    kind = AssetKind.SNAPSHOT
    noun = "Snapshot"
    status_name = "status"

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make a snapshot of the volume ``spec.parent``. EC2 takes no token for it: look first."""
        if spec.parent is None:
            raise CloudRefused("a snapshot is of a volume", field="volume")
        return self._told(self._ask("CreateSnapshot", VolumeId=spec.parent, **self._tagged(spec)))

    def _impossible(self) -> dict[str, str]:
        return {"VolumeId": "vol-00000000"}


def literal(text: str) -> str:
    """Return ``text`` as a filter of EC2 takes it: there * and ? are wildcards."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
