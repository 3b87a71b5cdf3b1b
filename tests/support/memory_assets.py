"""Assets of an in-memory cloud, which lie on request as its machines do."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from catalog.cloud_assets import MADE_BY, AssetKind, AssetSpec, CloudAsset
from catalog.clouds import MachineStatus, Proof
from catalog.errors import CatalogError, CloudQuotaExhausted, CloudRefused, CloudTimedOut, CloudUnavailable


class Ticking(Protocol):
    """What tells the time."""

    def now_s(self) -> float:
        """Return it."""
        ...


# What is known by its name, or by what was asked for: read by its id, it does not say whose it is.
UNMARKED = (AssetKind.CONTAINER, AssetKind.BALANCER, AssetKind.RECORD)


@dataclass
class MemoryAssets:
    """What was made beside machines. ``ledger`` keeps what was ever created; nothing leaves it.

    Each word in ``lies`` is what the next creation does instead of answering truly: "503" creates and says that it did
    not, "late" says nothing and creates ``late_s`` later, "refused" and "full" create nothing, "error" makes one that
    cannot be used. While ``kept`` holds an error, nothing is destroyed: it is raised, and the attempt ``kept_at_s``.
    """

    clock: Ticking
    answer: Callable[[], None] = lambda: None
    lies: deque[str] = field(default_factory=deque)
    late_s: float = 10.0
    ledger: list[AssetSpec] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    kept: CatalogError | None = None
    kept_at_s: list[float] = field(default_factory=list)
    denied: set[AssetKind] = field(default_factory=set)
    _assets: dict[str, CloudAsset] = field(default_factory=dict)
    _coming: list[tuple[float, AssetSpec]] = field(default_factory=list)

    @property
    def kinds(self) -> frozenset[AssetKind]:
        """Everything that there is."""
        return frozenset(AssetKind)

    @property
    def present(self) -> tuple[CloudAsset, ...]:
        """What exists now."""
        for at_s, spec in tuple(self._coming):
            if at_s <= self.clock.now_s():
                self._coming.remove((at_s, spec))
                self.add(spec)
        return tuple(self._assets.values())

    async def prove(self, kind: AssetKind) -> Proof:
        """Return that it may be made, unless it is ``denied``."""
        return Proof(capability=MADE_BY[kind][0], allowed=kind not in self.denied, request=f"make {kind}")

    async def find(
        self, kind: AssetKind, tags: Mapping[str, str], like: AssetSpec | None = None
    ) -> Sequence[CloudAsset]:
        """Return what exists with these tags; of records, which carry none, those that are what is asked for."""
        self.answer()
        if kind is AssetKind.RECORD:
            alike = [] if like is None else [each for each in self.present if each.facts == like.options]
            return [replace(each, tags=dict(tags)) for each in alike if each.kind is kind]
        return [each for each in self.present if each.kind is kind and tags.items() <= each.tags.items()]

    async def create(self, spec: AssetSpec) -> CloudAsset:
        """Create, or do what the next lie says."""
        self.answer()
        match self.lies.popleft() if self.lies else "":
            case "503":
                self.add(spec)
                raise CloudUnavailable("503")
            case "late":
                self._coming.append((self.clock.now_s() + self.late_s, spec))
                raise CloudTimedOut("no answer")
            case "refused":
                raise CloudRefused("the cloud does not do that")
            case "full":
                raise CloudQuotaExhausted("full")
            case "error":
                return self.add(spec, MachineStatus.FAILED)
        return self.add(spec)

    async def read(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Return it; what is looked at once can be used from then on."""
        self.answer()
        asset = next((each for each in self.present if (each.kind, each.cloud_id) == (kind, cloud_id)), None)
        if asset is not None and asset.status is MachineStatus.PENDING:
            self._assets[cloud_id] = replace(asset, status=MachineStatus.RUNNING)
        return replace(asset, tags={}) if asset is not None and kind in UNMARKED else asset

    async def destroy(self, kind: AssetKind, cloud_id: str) -> None:
        """Destroy at once, unless everything is kept."""
        self.answer()
        if self.kept is not None:
            self.kept_at_s.append(self.clock.now_s())
            raise self.kept
        asset = self._assets.get(cloud_id)
        if asset is not None and asset.kind is kind:
            del self._assets[cloud_id]
            self.destroyed.append(cloud_id)

    async def attach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Attach it."""
        self._use(kind, cloud_id, (machine,))

    async def detach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Detach it."""
        del machine
        self._use(kind, cloud_id, ())

    def add(self, spec: AssetSpec, status: MachineStatus = MachineStatus.PENDING) -> CloudAsset:
        """Let one exist."""
        self.ledger.append(spec)
        cloud_id = f"{spec.kind}-{len(self.ledger):04}"
        facts = {"size_gib": str(spec.size_gib)} if spec.size_gib else {}
        facts = dict(spec.options) if spec.kind is AssetKind.RECORD else facts
        asset = CloudAsset(
            kind=spec.kind, cloud_id=cloud_id, name=spec.name, status=status, tags=dict(spec.tags), facts=facts
        )
        self._assets[cloud_id] = asset
        return asset

    def _use(self, kind: AssetKind, cloud_id: str, machines: tuple[str, ...]) -> None:
        self.answer()
        asset = self._assets.get(cloud_id)
        if asset is None or asset.kind is not kind:
            raise CloudRefused(f"there is no such {kind}")
        self._assets[cloud_id] = replace(asset, machines=machines)
