"""What the catalog needs of a cloud: ``CloudDriver``, and the values in which it is asked and answers.

``drivers.clouds`` implements it; every implementation passes ``tests/contracts/test_cloud_driver.py``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from catalog.messages.handshake import ServiceInformation
from catalog.model.ids import PlatformId
from catalog.ports import ApprovedEndpoint
from catalog.secrets import Secret

if TYPE_CHECKING:
    from catalog.cloud_assets import CloudAssets


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudAccount:
    """Everything needed to log in at one platform as its primary account.

    ``services`` are the endpoints of services that do not live under the host and port of ``endpoint``.
    """

    platform: PlatformId
    provider: str  # a key of drivers.registry, such as "ec2", "openstack", "simulated"
    region: str
    endpoint: ApprovedEndpoint
    account: str  # user name, access key id
    secret: Secret
    options: Mapping[str, str] = field(default_factory=dict)  # allow-listed per provider, e.g. project, domain
    services: tuple[ApprovedEndpoint, ...] = ()


# The account of one platform as it is now: asked at each use, so that a new credential counts at once.
AccountOf = Callable[[], Awaitable[CloudAccount]]


class MachineStatus(StrEnum):
    """A machine's state as the cloud tells it, reduced to what decisions need."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudMachine:
    """One machine as a cloud reports it. ``tags`` holds what we wrote at its creation.

    ``size``, ``image`` and ``network`` are ids, "" where the cloud does not say.
    """

    cloud_id: str
    name: str
    status: MachineStatus
    addresses: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""  # the cloud's own words when status is FAILED, control characters removed
    size: str = ""
    image: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudSize:
    """A machine size on offer. ``memory_mib`` in MiB, ``disk_gib`` in GiB. What it costs is the price book's to say.

    ``architecture`` and ``gpu_count`` are what the cloud itself says, None where it says nothing.
    """

    cloud_id: str
    name: str
    vcpu: float | None
    memory_mib: int
    disk_gib: int | None
    architecture: str | None = None
    gpu_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudItem:
    """An image, location, network, key pair or volume: its id at the cloud, its name, a few facts.

    Of an image the cloud may say ``architecture``, ``os_family`` and ``os_version``, in its own words.
    """

    cloud_id: str
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A whole list of a cloud, ready to be stored: ``count`` rows in JSON arrays, as ``catalog.listed`` writes them."""

    count: int
    batches: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """What to create. ``name`` and ``tags`` carry the order's id (a pool machine's its own), so it is found again."""

    name: str
    size: str
    image: str
    tags: Mapping[str, str]
    location: str | None = None
    key_pair: str | None = None
    network: str | None = None  # None: the cloud's choice
    client_token: str = ""  # passed on where the cloud honours one (EC2)
    epoch: int | None = None  # of the grant under which it was asked for; None: whichever stands now


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Evidence of what an account can really do: the call made, the cloud's own id of it, and how it was answered."""

    capability: str
    allowed: bool
    request: str  # such as "DescribeImages" or "DryRun RunInstances"
    detail: str = ""
    request_id: str = ""  # "" where the cloud gives none
    # Verbs of an allowed capability that are proved not to be, as ``detail`` says; or for which the cloud has no way.
    lacking: tuple[str, ...] = ()


class MachineAction(StrEnum):
    """What may be asked of a machine that exists."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    DESTROY = "destroy"


class MachineChanges(Protocol):
    """What of a machine that exists may become another: the part of a cloud's driver that is about that.

    What ``CloudDriver`` says of deadlines and errors holds here. All may be repeated: what is as it should be stays so.
    A cloud that cannot do it, or not to this machine now, raises CloudRefused.
    """

    async def rebuild(self, cloud_id: str, image: str) -> None:
        """Ask for the machine's own disk to be made anew from ``image``; what was on it is lost, its marks stay.

        It is asked for when this returns, and done when the machine runs again. Repeated, it is made anew once more.
        """
        ...

    async def resize(self, cloud_id: str, size: str) -> None:
        """Give the machine another size; what is on it stays. It has it when this returns."""
        ...

    async def rename(self, cloud_id: str, name: str) -> None:
        """Have the machine called ``name`` at its cloud; inside of it nothing changes."""
        ...

    async def console(self, cloud_id: str) -> str:
        """Return the newest part of what the machine has written to its console, "" when it is nothing."""
        ...


class CloudDriver(MachineChanges, Protocol):
    """One platform's cloud, as its primary account sees it, reached through its tunnel.

    Every call has a deadline and raises only: CloudUnavailable, CloudRefused, CloudCredentialsRefused,
    CloudTimedOut (outcome unknown), CloudMisbehaved, CertificateRefused, DialRefused. All but create_machine may be
    repeated freely; before repeating create_machine look for the order's machines with find_machines.
    """

    @property
    def assets(self) -> "CloudAssets":
        """What can be made beside machines."""
        ...

    async def log_in(self) -> ServiceInformation:
        """Prove the credentials and return the service list, reading nothing else. Allowed before any grant."""
        ...

    async def prove(self, capability: str) -> Proof:
        """Return whether the account can really use ``capability``, by a harmless call."""
        ...

    async def rights(self) -> Sequence[Proof]:
        """Return what the account could do, one proof a capability that the driver knows how to use.

        By the service list and by dry runs alone: nothing of the account is read. Allowed before any grant.
        """
        ...

    async def listing(self, capability: str) -> Listing:
        """Return all that the cloud lists of ``capability``, ready to be stored: complete or not at all.

        Raises CloudMisbehaved when it is truncated. However long the list is, the event loop is not held up by it, and
        the memory it takes is bounded.
        """
        ...

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return the machines, not gone, whose tags include all of ``tags``; complete or not at all."""
        ...

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Ask for a machine. Not repeatable blindly: after CloudTimedOut or CloudUnavailable look first."""
        ...

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return the machine, or None when the cloud does not know it."""
        ...

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Start, stop, reboot or destroy. Destroying what is gone succeeds."""
        ...

    async def close(self) -> None:
        """End its threads' idle ones; calls under way keep theirs until they return."""
        ...


class Clouds(Protocol):
    """Where to find the driver of a platform; each call is counted in its sessions."""

    async def driver(self, platform: PlatformId) -> CloudDriver:
        """Return the driver. Raises CloudUnavailable when the platform has no established connection."""
        ...
