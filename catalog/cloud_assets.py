"""What the catalog needs of a cloud beside machines: volumes and their snapshots, and whatever else is made to order.

An asset is what a project holds at a platform and is no machine. ``CloudAssets`` is the ``assets`` of a
``catalog.clouds.CloudDriver``; every implementation passes ``tests/contracts/test_cloud_assets.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from catalog.clouds import MachineStatus, Proof
from catalog.messages.handshake import Capability


class AssetKind(StrEnum):
    """What can be made beside machines."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"  # of a volume; its ``parent``
    CONTAINER = "container"  # of objects
    ZONE = "zone"  # of names
    RECORD = "record"  # in a zone; its ``parent``
    BALANCER = "balancer"


# Under which capability each kind is made, and by which of its verbs; destroyed it is by "destroy".
MADE_BY: Mapping[AssetKind, tuple[Capability, str]] = {
    AssetKind.VOLUME: (Capability.VOLUME, "create"),
    AssetKind.SNAPSHOT: (Capability.VOLUME, "snapshot"),
    AssetKind.CONTAINER: (Capability.CONTAINER, "create"),
    AssetKind.ZONE: (Capability.ZONE, "create"),
    AssetKind.RECORD: (Capability.ZONE, "records"),
    AssetKind.BALANCER: (Capability.BALANCER, "create"),
}


# By which verbs a kind is attached to machines and detached; what is absent cannot be.
USED_BY: Mapping[AssetKind, tuple[str, str]] = {
    AssetKind.VOLUME: ("attach", "detach"),
    AssetKind.BALANCER: ("members", "members"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAsset:
    """One asset as a cloud reports it. ``tags`` holds what we wrote at its creation.

    ``status`` RUNNING means that it can be used. ``machines`` are the cloud's ids of those that it is attached to.
    """

    kind: AssetKind
    cloud_id: str
    name: str
    status: MachineStatus
    tags: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    machines: tuple[str, ...] = ()
    reason: str = ""  # the cloud's own words when status is FAILED, control characters removed


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSpec:
    """What to create. ``name`` and ``tags`` carry the asset's own id, so that it is found again."""

    kind: AssetKind
    name: str
    tags: Mapping[str, str]
    size_gib: int | None = None  # of a volume
    location: str | None = None
    parent: str | None = None  # the cloud's id: of the volume that a snapshot is of, the snapshot that a volume is from
    # "port" and "machine_port" of a balancer, "domain" of a zone, "host", "type", "value" and "ttl" of a record
    options: Mapping[str, str] = field(default_factory=dict)
    client_token: str = ""  # passed on where the cloud honours one
    epoch: int | None = None  # of the grant under which it was asked for; None: whichever stands now


class CloudAssets(Protocol):
    """The part of a cloud's driver that is about assets; what ``CloudDriver`` says of deadlines and errors holds here.

    All but ``create`` may be repeated freely; before repeating that look with ``find``. A cloud at which a kind cannot
    be made raises CloudRefused.
    """

    @property
    def kinds(self) -> frozenset[AssetKind]:
        """What can be made at this kind of cloud, whatever its account may."""
        ...

    async def prove(self, kind: AssetKind) -> Proof:
        """Return whether the account may really make such an asset, by a call that makes none."""
        ...

    async def find(
        self, kind: AssetKind, tags: Mapping[str, str], like: AssetSpec | None = None
    ) -> Sequence[CloudAsset]:
        """Return the assets of ``kind``, not gone, whose tags include all of ``tags``; complete or not at all.

        What can carry no tags is known by its name, or by being as ``like``, which is what was asked for.
        """
        ...

    async def create(self, spec: AssetSpec) -> CloudAsset:
        """Ask for an asset. Not repeatable blindly: after CloudTimedOut or CloudUnavailable look first."""
        ...

    async def read(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Return the asset, or None when the cloud does not know it."""
        ...

    async def destroy(self, kind: AssetKind, cloud_id: str) -> None:
        """Destroy it, detached from whatever it is attached to. Destroying what is gone succeeds.

        Where detaching takes a while, CloudUnavailable says that it is to be asked again.
        """
        ...

    async def attach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Attach it to ``machine`` (the cloud's id); one that is attached there already stays so."""
        ...

    async def detach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Detach it from ``machine``; one that is not attached there stays so."""
        ...
