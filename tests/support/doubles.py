"""In-memory stand-ins for ports: a cloud that lies on request, and a checkpoint that kills.

The cloud keeps the CloudDriver contract; what a lie does is what real clouds were seen to do: answer 503 after
having created, answer nothing and create later, build machines that end in ERROR, list late.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from catalog.clouds import (
    CloudDriver,
    CloudItem,
    CloudMachine,
    CloudSize,
    Listing,
    MachineAction,
    MachineSpec,
    MachineStatus,
    Proof,
)
from catalog.errors import CatalogError, CloudError, CloudQuotaExhausted, CloudRefused, CloudTimedOut, CloudUnavailable
from catalog.listed import Listed, listing
from catalog.messages.handshake import ServiceInformation
from catalog.model.ids import PlatformId
from catalog.ports import Clock
from tests.support.memory_assets import MemoryAssets


class Lie(Enum):
    """What the next creation does instead of answering truly."""

    NONE = auto()
    CREATED_BUT_503 = auto()
    TIMED_OUT_CREATED_LATER = auto()
    TIMED_OUT_NOTHING = auto()
    UNAVAILABLE = auto()
    REFUSED = auto()
    EXHAUSTED = auto()
    ERROR_MACHINE = auto()
    NEVER_BOOTS = auto()


@dataclass
class MemoryCloud:
    """One platform's cloud in memory. ``ledger`` counts what was ever created; nothing leaves it."""

    clock: Clock
    boot_looks: int = 1  # how often a new machine is looked at before it runs
    late_s: float = 10.0  # when a creation that timed out really happens
    lies: deque[Lie] = field(default_factory=deque)
    lies_for: dict[str, deque[Lie]] = field(default_factory=dict)  # by size, used up before ``lies``
    ledger: list[MachineSpec] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    unreachable: bool = False
    kept: CatalogError | None = None  # while there is one, no machine is destroyed: it is raised
    hold_creations: asyncio.Event | None = None  # creations wait for it, as a slow cloud's do
    creations_begun: int = 0
    creation_begun: asyncio.Event = field(default_factory=asyncio.Event)
    hold_deeds: asyncio.Event | None = None  # what is done to a machine waits for it
    deed_begun: asyncio.Event = field(default_factory=asyncio.Event)
    last_asked: MachineSpec | None = None
    assets: MemoryAssets = field(init=False)
    _machines: dict[str, CloudMachine] = field(default_factory=dict)
    _looks: dict[str, int] = field(default_factory=dict)
    _coming: list[tuple[float, MachineSpec]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let assets be as reachable as machines."""
        self.assets = MemoryAssets(self.clock, answer=self._answer)

    @property
    def present(self) -> tuple[CloudMachine, ...]:
        """What exists now."""
        self._arrive()
        return tuple(self._machines.values())

    async def log_in(self) -> ServiceInformation:
        """Return that it has machines."""
        return ServiceInformation(provider="memory", region="here", services=("machine",))

    async def prove(self, capability: str) -> Proof:
        """Return that everything is allowed."""
        return Proof(capability=capability, allowed=True, request="prove")

    async def rights(self) -> Sequence[Proof]:
        """Return that machines can be had."""
        return (Proof(capability="machine", allowed=True, request="service list"),)

    async def listing(self, capability: str) -> Listing:
        """Return what there is, ready to be stored."""
        return listing("memory", capability, await self.items(capability))

    async def items(self, capability: str) -> Sequence[Listed]:
        """Return one size, one image, the machines that exist, and nothing else."""
        match capability:
            case "size":
                return (CloudSize(cloud_id="s1", name="small", vcpu=1, memory_mib=1024, disk_gib=10),)
            case "image":
                return (CloudItem(cloud_id="i1", name="debian-12"),)
            case "machine":
                self._answer()
                return self.present
        return ()

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return what exists with these tags."""
        self._answer()
        return tuple(each for each in self.present if tags.items() <= each.tags.items())

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Create, or do what the next lie says."""
        self._answer()
        self.creations_begun += 1
        self.creation_begun.set()
        self.last_asked = spec
        if self.hold_creations is not None:
            await self.hold_creations.wait()
        lies = self.lies_for.get(spec.size) or self.lies
        match lies.popleft() if lies else Lie.NONE:
            case Lie.CREATED_BUT_503:
                self._create(spec, MachineStatus.PENDING)
                raise CloudUnavailable("503")
            case Lie.TIMED_OUT_CREATED_LATER:
                self.creates_late(spec)
                raise CloudTimedOut("no answer")
            case Lie.TIMED_OUT_NOTHING:
                raise CloudTimedOut("no answer")
            case Lie.UNAVAILABLE:
                raise CloudUnavailable("503")
            case Lie.REFUSED | Lie.EXHAUSTED as lie:
                raise CloudRefused("the cloud does not do that") if lie is Lie.REFUSED else CloudQuotaExhausted("full")
            case Lie.ERROR_MACHINE:
                return self._create(spec, MachineStatus.FAILED)
            case Lie.NEVER_BOOTS:
                machine = self._create(spec, MachineStatus.PENDING)
                self._looks[machine.cloud_id] = 1_000_000
                return machine
            case Lie.NONE:
                return self._create(spec, MachineStatus.PENDING)

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return it; every look brings a pending machine nearer to running."""
        self._answer()
        self._arrive()
        machine = self._machines.get(cloud_id)
        if machine is not None and machine.status is MachineStatus.PENDING:
            self._looks[cloud_id] -= 1
            if self._looks[cloud_id] < 0:
                machine = replace(machine, status=MachineStatus.RUNNING, addresses=("192.0.2.1",))
                self._machines[cloud_id] = machine
        return machine

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Destroy at once; the other actions change nothing here."""
        self._answer()
        self.deed_begun.set()
        if self.hold_deeds is not None:
            await self.hold_deeds.wait()
        if self.kept is not None and action is MachineAction.DESTROY:
            raise self.kept
        if action is MachineAction.DESTROY and self._machines.pop(cloud_id, None) is not None:
            self.destroyed.append(cloud_id)

    async def rebuild(self, cloud_id: str, image: str) -> None:
        """Make it anew, at once."""
        self._change(cloud_id, image=image)

    async def resize(self, cloud_id: str, size: str) -> None:
        """Give it the size."""
        self._change(cloud_id, size=size)

    async def rename(self, cloud_id: str, name: str) -> None:
        """Give it the name."""
        self._change(cloud_id, name=name)

    async def console(self, cloud_id: str) -> str:
        """Return that it is there."""
        self._answer()
        return f"{self._machines[cloud_id].name} login:"

    async def close(self) -> None:
        """Nothing is open."""

    def vanish(self, cloud_id: str) -> None:
        """Lose the machine without being asked."""
        del self._machines[cloud_id]

    def creates_late(self, spec: MachineSpec) -> None:
        """Create ``late_s`` from now what was asked for in a call that nobody waits for any more."""
        self._coming.append((self.clock.now_s() + self.late_s, spec))

    def _change(self, cloud_id: str, **changes: str) -> None:
        self._answer()
        if cloud_id not in self._machines:
            raise CloudRefused("there is no such machine")
        self._machines[cloud_id] = replace(self._machines[cloud_id], **changes)  # type: ignore[arg-type]

    def _answer(self) -> None:
        if self.unreachable:
            raise CloudUnavailable("no tunnel")

    def _arrive(self) -> None:
        for at_s, spec in tuple(self._coming):
            if at_s <= self.clock.now_s():
                self._coming.remove((at_s, spec))
                self._create(spec, MachineStatus.PENDING)

    def _create(self, spec: MachineSpec, status: MachineStatus) -> CloudMachine:
        self.ledger.append(spec)
        cloud_id = f"vm-{len(self.ledger):04}"
        machine = CloudMachine(cloud_id=cloud_id, name=spec.name, status=status, tags=dict(spec.tags))
        self._machines[cloud_id] = machine
        self._looks[cloud_id] = self.boot_looks
        return machine


@dataclass
class MemoryClouds:
    """Clouds by platform; a platform that is not here has no established connection."""

    clouds: Mapping[PlatformId, CloudDriver]

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return the platform's cloud."""
        if platform not in self.clouds:
            raise CloudUnavailable("the platform has no established connection")
        return self.clouds[platform]


class Crash(BaseException):
    """The process died here. Not an Exception: nothing in the product may survive it."""


class KillingCheckpoint:
    """Dies at the ``nth`` time that ``step`` is reached; an empty step never dies. ``reached_steps`` keeps all."""

    def __init__(self, step: str = "", nth: int = 1) -> None:
        self.reached_steps: list[str] = []
        self.killed = False
        self._step = step
        self._left = nth

    def reached(self, step: str) -> None:
        """Note the step, or die."""
        self.reached_steps.append(step)
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                self.killed = True
                raise Crash(step)


@dataclass
class NotedChanges:
    """A cloud's MachineChanges that notes what is asked, and fails with the next of ``errors``."""

    errors: list[CloudError]
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # (deed, the cloud's id, what it shall be)

    async def rebuild(self, cloud_id: str, image: str) -> None:
        """Note it."""
        self._note("rebuild", cloud_id, image)

    async def resize(self, cloud_id: str, size: str) -> None:
        """Note it."""
        self._note("resize", cloud_id, size)

    async def rename(self, cloud_id: str, name: str) -> None:
        """Note it."""
        self._note("rename", cloud_id, name)

    async def console(self, cloud_id: str) -> str:
        """Note it, and return two lines."""
        self._note("console", cloud_id, "")
        return f"{cloud_id} booted\nlogin:"

    def _note(self, deed: str, cloud_id: str, wanted: str) -> None:
        self.asked.append((deed, cloud_id, wanted))
        if self.errors:
            raise self.errors.pop()
