"""What libcloud's objects say, in the catalog's words: ids must look like ids, texts are cleaned and shortened."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from libcloud.compute.base import KeyPair, Node, NodeImage, NodeLocation, NodeSize, StorageVolume
from libcloud.compute.types import NodeState

from catalog.clouds import CloudItem, CloudMachine, CloudSize, MachineStatus
from catalog.errors import CloudMisbehaved
from drivers.clouds.libcloud_bridge import Bridge

# Where libcloud's drivers put what a machine was made of.
_SIZE_KEYS: Final = ("instance_type", "flavorId", "size")
_IMAGE_KEYS: Final = ("image_id", "imageId", "image")
_VCPU_KEYS: Final = ("cpu", "vcpu", "vcpus", "vcpu_count")
_NETWORK_KEYS: Final = ("subnet_id", "network")
_ID: Final = re.compile(r"[!-~]{1,255}")
_STATUSES: Final[Mapping[str, MachineStatus]] = {
    NodeState.PENDING: MachineStatus.PENDING,
    NodeState.STARTING: MachineStatus.PENDING,
    NodeState.REBOOTING: MachineStatus.PENDING,
    NodeState.RUNNING: MachineStatus.RUNNING,
    NodeState.STOPPING: MachineStatus.STOPPED,
    NodeState.STOPPED: MachineStatus.STOPPED,
    NodeState.ERROR: MachineStatus.FAILED,
    NodeState.TERMINATED: MachineStatus.GONE,
}


class Parsing:
    """One account's reading of what its cloud says; a provider overrides what it says in its own way."""

    _bridge: Bridge

    def _machine(self, node: Node) -> CloudMachine:
        extra = node.extra or {}
        tags = extra.get("tags") or extra.get("metadata") or {}
        tags = tags if isinstance(tags, Mapping) else {}  # words, of which only some files know what they mean
        addresses = dict.fromkeys([*node.public_ips, *node.private_ips])
        return CloudMachine(
            cloud_id=identifier(node.id),
            name=self._text(node.name),
            status=self._status(node),
            addresses=tuple(self._text(address, 64) for address in addresses),
            tags={self._tag(key): self._tag(value) for key, value in tags.items()},
            reason=self._text(self._reason(node)),
            size=self._told_id(extra, _SIZE_KEYS) or self._id_of(node.size),
            image=self._told_id(extra, _IMAGE_KEYS) or self._id_of(node.image),
            network=self._told_id(extra, _NETWORK_KEYS),
        )

    def _told_id(self, extra: Mapping[str, object], keys: Sequence[str]) -> str:
        told = next((extra[key] for key in keys if extra.get(key)), "")
        return self._text(told) if isinstance(told, str | int) else ""

    def _id_of(self, made_of: object) -> str:
        """Return the id of a machine's size or image, which libcloud's drivers give as itself, as an id or not."""
        cloud_id = getattr(made_of, "id", made_of)
        return self._text(cloud_id) if isinstance(cloud_id, str) else ""

    def _size(self, size: NodeSize) -> CloudSize:
        told = size.extra or {}
        vcpu = next((told[key] for key in _VCPU_KEYS if told.get(key) is not None), getattr(size, "vcpus", None))
        return CloudSize(
            cloud_id=identifier(size.id),
            name=self._text(size.name),
            vcpu=None if vcpu is None else float(vcpu),
            memory_mib=int(size.ram or 0),
            disk_gib=None if size.disk is None else int(size.disk),
        )

    def _image(self, image: NodeImage) -> CloudItem:
        return CloudItem(cloud_id=identifier(image.id), name=self._text(image.name or image.id))

    def _location(self, location: NodeLocation) -> CloudItem:
        return CloudItem(
            cloud_id=identifier(str(location.id)),
            name=self._text(location.name),
            facts={"country": self._text(location.country or "")},
        )

    def _network(self, network: Any) -> CloudItem:
        cloud_id = identifier(str(network.id))
        return CloudItem(cloud_id=cloud_id, name=self._text(network.name or cloud_id))

    def _key_pair(self, pair: KeyPair) -> CloudItem:
        return CloudItem(
            cloud_id=identifier(pair.name.replace(" ", "+")),
            name=self._text(pair.name),
            facts={"fingerprint": self._text(pair.fingerprint or "")},
        )

    def _volume(self, volume: StorageVolume) -> CloudItem:
        return CloudItem(
            cloud_id=identifier(volume.id),
            name=self._text(volume.name or volume.id),
            facts={"size_gib": str(int(volume.size or 0)), "state": self._text(str(volume.state or ""))},
        )

    def _status(self, node: Node) -> MachineStatus:
        return _STATUSES.get(node.state, MachineStatus.UNKNOWN)

    def _reason(self, node: Node) -> str:
        del node
        return ""

    def _text(self, value: object, limit: int = 255) -> str:
        return self._bridge.clean(str(value), limit)

    def _tag(self, value: object) -> str:
        return tag_text(value)


def identifier(value: object) -> str:
    """Return ``value`` if it looks like a cloud's id: 1 to 255 visible ASCII characters. Raises CloudMisbehaved."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return value
    raise CloudMisbehaved("the cloud's answer holds an id that is none")


def tag_text(value: object) -> str:
    """Return a tag's key or value as it is: bounded, and neither redacted nor shortened. Raises CloudMisbehaved."""
    # Tags are compared with what we wrote.
    text = str(value)
    if len(text) > 1024 or not text.isprintable():  # noqa: PLR2004 - four times what EC2 allows
        raise CloudMisbehaved("a tag is not printable text of a sensible length")
    return text
