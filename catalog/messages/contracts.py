"""What the order application and the provisioner say to each other: versioned, frozen, JSON on the wire (S4).

A message is one frozen dataclass with a ``type`` and a ``version``. Readers accept their own version and the
one before; unknown fields are ignored, so that either application may be upgraded first.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from catalog.errors import InvalidValue
from catalog.model.ids import AssetId, MachineId, MessageId, OrderId, PlatformId

TO_PROVISIONER = "provision"
TO_ORDERS = "settle"

# By these a lost creation is found again: written by whoever asks, looked for by whoever makes.
TAG_MACHINE = "crossway-machine"
TAG_ASSET = "crossway-asset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The base of every message: an id that makes a redelivery recognisable, and who asked."""

    type: ClassVar[str] = ""
    version: ClassVar[int] = 1

    id: MessageId
    created_at_s: float

    def to_json(self) -> str:
        """Return the wire form: one JSON object with ``type``, ``version`` and the fields."""
        return json.dumps({"type": self.type, "version": self.version, **dataclasses.asdict(self)}, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMachine(Message):
    """Create exactly one machine for ``machine`` (our id) at ``platform``; ``order`` is None for a pool's."""

    type: ClassVar[str] = "create-machine"

    machine: MachineId
    platform: PlatformId
    name: str
    size: str
    image: str
    attempt: int
    order: OrderId | None = None
    location: str | None = None
    key_pair: str | None = None
    network: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    deadline_s: float = 900.0  # allowance for creation until RUNNING, from its receipt on
    epoch: int = 0  # of the grant under which this was asked; see EndEpoch


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEpoch(Message):
    """What was asked of ``platform`` under an epoch of ``capability`` before ``epoch`` may not be created any more.

    Whatever of it is begun is cleared up, whichever message comes first.
    """

    type: ClassVar[str] = "end-epoch"

    platform: PlatformId
    epoch: int
    capability: str = "machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroyMachine(Message):
    """Destroy whatever exists at ``platform`` for ``machine``, known by ``cloud_id`` or else by its tags."""

    type: ClassVar[str] = "destroy-machine"

    machine: MachineId
    platform: PlatformId
    cloud_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCreated(Message):
    """The one machine for ``machine`` exists and runs."""

    type: ClassVar[str] = "machine-created"

    machine: MachineId
    platform: PlatformId
    attempt: int
    cloud_id: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFailed(Message):
    """No machine exists for ``machine`` and this attempt is over. ``retryable``: another attempt may succeed."""

    type: ClassVar[str] = "machine-failed"

    machine: MachineId
    platform: PlatformId
    attempt: int
    code: str  # the code of the CatalogError that ended it
    reason: str  # in words fit for a tenant
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineDestroyed(Message):
    """Nothing is left at ``platform`` for ``machine``."""

    type: ClassVar[str] = "machine-destroyed"

    machine: MachineId
    platform: PlatformId


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNotDestroyed(Message):
    """The cloud does not destroy ``machine`` for now; it is asked again until it does."""

    type: ClassVar[str] = "machine-not-destroyed"

    machine: MachineId
    platform: PlatformId
    code: str  # the code of the CatalogError that stands in the way
    reason: str  # in words fit for a tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineProgress(Message):
    """Creation of ``machine`` reached ``step`` (one of drivers.provisioner's steps)."""

    type: ClassVar[str] = "machine-progress"

    machine: MachineId
    platform: PlatformId
    attempt: int
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAsset(Message):
    """Create exactly one asset of ``kind`` (see catalog.cloud_assets) for ``asset`` (our id) at ``platform``.

    ``capability`` is the one whose grant ``epoch`` is of. ``parent`` is the cloud's id of what it is made from.
    """

    type: ClassVar[str] = "create-asset"

    asset: AssetId
    kind: str
    capability: str
    platform: PlatformId
    name: str
    attempt: int
    size_gib: int | None = None
    location: str | None = None
    parent: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    deadline_s: float = 900.0  # allowance until it can be used, from its receipt on
    epoch: int = 0  # of the grant under which this was asked; see EndEpoch


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroyAsset(Message):
    """Destroy whatever exists at ``platform`` for ``asset``, known by ``cloud_id`` or else by its tags."""

    type: ClassVar[str] = "destroy-asset"

    asset: AssetId
    kind: str
    capability: str
    platform: PlatformId
    cloud_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetCreated(Message):
    """The one asset for ``asset`` exists and can be used."""

    type: ClassVar[str] = "asset-created"

    asset: AssetId
    platform: PlatformId
    attempt: int
    cloud_id: str
    facts: dict[str, str] = field(default_factory=dict)  # what its cloud says of it


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFailed(Message):
    """This attempt at ``asset`` is over. ``retryable``: another may succeed."""

    type: ClassVar[str] = "asset-failed"

    asset: AssetId
    platform: PlatformId
    attempt: int
    code: str  # the code of the CatalogError that ended it
    reason: str  # in words fit for a tenant
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetDestroyed(Message):
    """Nothing is left at ``platform`` for ``asset``."""

    type: ClassVar[str] = "asset-destroyed"

    asset: AssetId
    platform: PlatformId


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetNotDestroyed(Message):
    """The cloud does not destroy ``asset`` for now; it is asked again until it does."""

    type: ClassVar[str] = "asset-not-destroyed"

    asset: AssetId
    platform: PlatformId
    code: str  # the code of the CatalogError that stands in the way
    reason: str  # in words fit for a tenant


TYPES: dict[str, type[Message]] = {
    kind.type: kind
    for kind in (
        CreateMachine,
        EndEpoch,
        DestroyMachine,
        MachineCreated,
        MachineFailed,
        MachineDestroyed,
        MachineNotDestroyed,
        MachineProgress,
        CreateAsset,
        DestroyAsset,
        AssetCreated,
        AssetFailed,
        AssetDestroyed,
        AssetNotDestroyed,
    )
}


def from_json(text: str) -> Message:
    """Return the message that ``to_json`` wrote. Raises InvalidValue for an unknown type or version."""
    raw: dict[str, Any] = json.loads(text)
    kind = TYPES.get(raw.get("type", ""))
    if kind is None:
        raise InvalidValue(f"unknown message type {raw.get('type')!r}", field="type")
    if raw.get("version") not in (kind.version, kind.version - 1):
        raise InvalidValue(
            f"{kind.type} has version {raw.get('version')!r}; this program reads {kind.version}",
            field="version",
        )
    known = {f.name: raw[f.name] for f in dataclasses.fields(kind) if f.name in raw}
    if "addresses" in known:
        known["addresses"] = tuple(known["addresses"])
    return kind(**known)


__all__ = [
    "TO_ORDERS",
    "TO_PROVISIONER",
    "AssetCreated",
    "AssetDestroyed",
    "AssetFailed",
    "AssetNotDestroyed",
    "CreateAsset",
    "CreateMachine",
    "DestroyAsset",
    "DestroyMachine",
    "EndEpoch",
    "MachineCreated",
    "MachineDestroyed",
    "MachineFailed",
    "MachineNotDestroyed",
    "MachineProgress",
    "Message",
    "from_json",
]
