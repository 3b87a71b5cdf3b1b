"""A CloudDriver over any libcloud compute driver. A provider's file overrides only what is its own.

The methods with an underscore block and run in a platform thread with a driver built for that call alone. Answers
are parsed into the catalog's values here: ids must look like ids, texts are cleaned and shortened, lists are
refused when they are longer than any list may be.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeVar

from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import KeyPair, Node, NodeDriver, NodeImage, NodeLocation, NodeSize, StorageVolume
from libcloud.compute.types import NodeState

from catalog.cloud_assets import AssetKind
from catalog.clouds import (
    CloudAccount,
    CloudMachine,
    Listing,
    MachineAction,
    MachineSpec,
    MachineStatus,
    Proof,
)
from catalog.endpoints import Target
from catalog.errors import CloudMisbehaved, CloudQuotaExhausted, CloudRefused, InvalidValue
from catalog.listed import Batch, Listed, batches, listing
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.ports import Dialer
from drivers.clouds.assets import CallableAssets, Shelf
from drivers.clouds.changing import Changing
from drivers.clouds.libcloud_bridge import Bridge
from drivers.clouds.parsing import Parsing
from drivers.clouds.policy import CallPolicy
from drivers.clouds.reading_apart import read_apart
from drivers.clouds.routed_http import AnswerTooLong, current_call

T = TypeVar("T")
Found = TypeVar("Found")

_NOT_FOUND: Final = 404
_http_error: Any = BaseHTTPError  # its constructor is untyped
# What libcloud's driver of a provider must do itself, for the provider to have a capability.
_METHODS: Final[Mapping[Capability, str]] = {
    Capability.MACHINE: "create_node",
    Capability.IMAGE: "list_images",
    Capability.SIZE: "list_sizes",
    Capability.LOCATION: "list_locations",
    Capability.KEY_PAIR: "list_key_pairs",
    Capability.VOLUME: "list_volumes",
}


class GenericCloud(Parsing, Changing, ABC):
    """One platform's cloud through libcloud. Implements ``catalog.clouds.CloudDriver``."""

    provider: str  # a key of drivers.registry
    has_networks: ClassVar[bool] = False  # they are listed, and a machine is attached to the one that is named
    always_long: ClassVar[frozenset[Capability]] = frozenset()  # lists that are never short enough for a thread
    # What libcloud's driver raises when the cloud says no; some have errors of their own that hold no status.
    refusals: ClassVar[tuple[type[Exception], ...]] = (BaseHTTPError,)

    def __init__(self, account: CloudAccount, dialer: Dialer, policy: CallPolicy) -> None:
        self.account = account
        self.policy = policy
        self.target = Target.of(account.endpoint.url)
        self._bridge = Bridge(account, dialer, policy)
        self._long: set[Capability] = set(self.always_long)

    # The port

    @property
    def assets(self) -> CallableAssets:
        """What can be made beside machines, by the shelves of the provider."""
        return CallableAssets(
            bridge=self._bridge,
            new_driver=self._driver,
            shelves=self._shelves(),
            row_limit=self.policy.row_limit,
        )

    async def log_in(self) -> ServiceInformation:
        """Prove the credentials and return the service list, reading nothing else."""
        return await self._read(self._log_in)

    async def prove(self, capability: str) -> Proof:
        """Return whether ``capability`` can be used, by a harmless call. Raises InvalidValue for an unknown one."""
        wanted = _known(capability)
        try:
            return await self._bridge.call(
                lambda: self.told_lacking(self._witnessed(self._prove(self._driver(), wanted))),
                repeatable=True,
                body_limit_bytes=self.policy.short_list_bytes,
            )
        except AnswerTooLong:
            # It was answered, and at length; no more is asked of a proof.
            proof = Proof(capability=wanted, allowed=True, request=f"list {wanted}s", detail="a long list")
            return self.told_lacking(proof)

    async def rights(self) -> Sequence[Proof]:
        """Return what the account could do, as far as that is told without reading anything of it."""
        return await self._read(self._rights)

    async def listing(self, capability: str) -> Listing:
        """Return all that the cloud lists of ``capability``, ready to be stored.

        A short list is read in a thread, a long one in a process of its own: parsing it here would hold the event loop
        up. What was long once is taken to be so from then on.
        """
        wanted = _known(capability)
        if wanted not in self._long:
            try:
                return await self._bridge.call(
                    lambda: self._short(wanted), repeatable=True, body_limit_bytes=self.policy.short_list_bytes
                )
            except AnswerTooLong:
                self._long.add(wanted)
        return await self._bridge.apart(
            lambda call: read_apart(self.account, self.policy, wanted, call), deadline_s=self.policy.list_deadline_s
        )

    def read_here(self, capability: Capability, put: Callable[[Batch], None]) -> None:
        """Read the list of ``capability`` in this thread, however long it is, and ``put`` it batch by batch.

        For a process that does nothing else. What was put is worth nothing unless this returns.
        """

        def work() -> None:
            for batch in batches(self.provider, capability, self._items(self._driver(), capability)):
                put(batch)

        self._bridge.here(work, deadline_s=self.policy.list_deadline_s)

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return the machines, not gone, whose tags include all of ``tags``."""
        if not tags:
            raise InvalidValue("machines are looked for by at least one tag", field="tags")
        found = await self._read(lambda driver: self._find(driver, tags))
        return [machine for machine in found if _carries(machine, tags) and machine.status is not MachineStatus.GONE]

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Ask for a machine. After CloudTimedOut or CloudUnavailable look with find_machines first."""
        return await self._do(lambda driver: self._create(driver, spec))

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Return the machine, or None when the cloud does not know it."""
        return await self._read(lambda driver: self._unless_missing(lambda: self._one(driver, cloud_id)))

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Start, stop, reboot or destroy. Destroying what is gone succeeds."""
        await self._do(lambda driver: self._act(driver, cloud_id, action))

    async def close(self) -> None:
        """End the platform's idle threads; calls under way return first."""
        await self._bridge.close()

    def _short(self, capability: Capability) -> Listing:
        items = self._items(self._driver(), capability, limit=self.policy.short_list_rows)
        return listing(self.provider, capability, items)

    def _items(self, driver: Any, capability: Capability, limit: int | None = None) -> Iterator[Listed]:
        """Yield what the cloud lists of ``capability``, as it comes. Raises AnswerTooLong past ``limit``."""
        parsed: Mapping[Capability, tuple[Callable[[Any], Iterable[Any]], Callable[[Any], Listed]]] = {
            Capability.MACHINE: (self._list_nodes, self._machine),
            Capability.IMAGE: (self._list_images, self._image),
            Capability.SIZE: (self._list_sizes, self._size),
            Capability.LOCATION: (self._list_locations, self._location),
            Capability.NETWORK: (self._list_networks, self._network),
            Capability.KEY_PAIR: (self._list_key_pairs, self._key_pair),
            Capability.VOLUME: (self._list_volumes, self._volume),
        }
        if capability not in parsed or (capability is Capability.NETWORK and not self.has_networks):
            raise CloudRefused(f"no cloud lists '{capability}'", field="capability")
        listed, parse = parsed[capability]
        most = self.policy.row_limit if limit is None else limit
        for count, row in enumerate(listed(driver), start=1):
            if count > most:
                raise AnswerTooLong("the cloud's list is longer than any list may be")
            yield parse(row)

    # What a provider overrides

    @abstractmethod
    def _driver(self) -> NodeDriver:
        """Return a new libcloud driver for one call. Runs in the platform's thread."""

    @abstractmethod
    def _log_in(self, driver: Any) -> ServiceInformation:
        """Prove the credentials, read the service list."""

    @abstractmethod
    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        """Return the arguments of create_node that are the provider's own, the tags among them."""

    def _shelves(self) -> Mapping[AssetKind, Callable[[Any], Shelf]]:
        """Return what makes the shelf of each kind of asset that can be had here."""
        return {}

    def _list_sizes(self, driver: Any) -> Iterable[NodeSize]:
        return list(driver.list_sizes())

    def _list_images(self, driver: Any) -> Iterable[NodeImage]:
        return list(driver.list_images())

    def _list_locations(self, driver: Any) -> Iterable[NodeLocation]:
        return list(driver.list_locations())

    def _list_networks(self, driver: Any) -> Iterable[Any]:
        return list(driver.ex_list_networks())

    def _list_key_pairs(self, driver: Any) -> Iterable[KeyPair]:
        return list(driver.list_key_pairs())

    def _list_volumes(self, driver: Any) -> Iterable[StorageVolume]:
        return list(driver.list_volumes())

    def _list_nodes(self, driver: Any) -> Iterable[Node]:
        return list(driver.list_nodes())

    def _find(self, driver: Any, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Return at least the machines with ``tags``; the cloud is asked to filter where it can."""
        del tags
        return self._machines(driver)

    def _one(self, driver: Any, cloud_id: str) -> CloudMachine | None:
        return next((machine for machine in self._machines(driver) if machine.cloud_id == cloud_id), None)

    def _prove(self, driver: Any, capability: Capability) -> Proof:
        """Return the proof of ``capability`` by listing it: what may not even be listed is not allowed."""
        request = f"list {capability}s"
        try:
            count = sum(1 for _ in self._items(driver, capability, self.policy.short_list_rows))
        except self.refusals as error:
            code = told(error).code
            if code not in {403, _NOT_FOUND}:
                raise
            return Proof(capability=capability, allowed=False, request=request, detail=f"HTTP {code}")
        return Proof(capability=capability, allowed=True, request=request, detail=f"{count} listed")

    def _rights(self, driver: Any) -> list[Proof]:
        """Return a proof of each capability that the driver knows, by the service list."""
        services = self._log_in(driver).services
        return [
            self._witnessed(
                Proof(
                    capability=capability,
                    allowed=capability in services,
                    request="service list",
                    detail="" if capability in services else "the cloud has no such service for this account",
                )
            )
            for capability in self._claimed(driver)
        ]

    def _claimed(self, driver: Any) -> list[Capability]:
        """Return what the driver knows how to use: the methods that a capability needs, where they are not empty."""
        found = [
            capability
            for capability, method in _METHODS.items()
            if getattr(type(driver), method, None) is not getattr(NodeDriver, method)
        ]
        # libcloud has no method for networks that is the same everywhere.
        return [*found, Capability.NETWORK] if self.has_networks else found

    @staticmethod
    def _witnessed(proof: Proof) -> Proof:
        """Return ``proof`` with the cloud's own id of the request that was just answered."""
        return replace(proof, request_id=current_call().request_id)

    def _is_missing(self, error: BaseHTTPError) -> bool:
        """Return whether ``error`` says that the machine does not exist."""
        return bool(error.code == _NOT_FOUND)

    def _is_exhausted(self, error: BaseHTTPError) -> bool:
        """Return whether ``error``, of a creation, says that a quota is used up or that no host has room now."""
        del error
        return False

    def _machines(self, driver: Any) -> list[CloudMachine]:
        return self._bounded(map(self._machine, self._list_nodes(driver)))

    # Doing

    def _create(self, driver: Any, spec: MachineSpec) -> CloudMachine:
        if spec.network is not None and not self.has_networks:
            # Silently elsewhere would be outside of what was granted.
            raise CloudRefused("no machine is attached to a network by its name at this cloud", field="network")
        options = self._create_options(driver, spec)
        size = NodeSize(spec.size, spec.size, ram=0, disk=0, bandwidth=0, price=0, driver=driver)
        image = NodeImage(spec.image, spec.image, driver=driver)
        try:
            node = driver.create_node(name=spec.name, size=size, image=image, **options)
        except self.refusals as error:
            if self._is_exhausted(told(error)):
                raise CloudQuotaExhausted(
                    "the account's quota at the cloud is used up", detail=self._text(error)
                ) from None
            raise
        if not isinstance(node, Node):
            # libcloud returns a list when the answer does not hold exactly one machine.
            raise CloudMisbehaved("the cloud's answer to a create does not hold exactly one machine")
        return self._machine(node)

    def _act(self, driver: Any, cloud_id: str, action: MachineAction) -> None:
        node = self._handle(driver, cloud_id)
        if action is MachineAction.DESTROY:
            # A missing machine answers None, which is as good as True here.
            done = self._unless_missing(lambda: driver.destroy_node(node))
        elif action is MachineAction.REBOOT:
            done = driver.reboot_node(node)
        else:
            # These return False for a machine that is already started or stopped: nothing to do, not a failure.
            (self._start if action is MachineAction.START else self._stop)(driver, node)
            done = True
        if done is False:
            raise CloudMisbehaved(f"the cloud answered, but did not confirm the {action}")

    def _handle(self, driver: Any, cloud_id: str) -> Node:
        """Return what libcloud's driver takes for the machine, which is nothing but its id."""
        return Node(cloud_id, "", NodeState.UNKNOWN, [], [], driver)

    def _start(self, driver: Any, node: Node) -> None:
        driver.start_node(node)

    def _stop(self, driver: Any, node: Node) -> None:
        driver.stop_node(node)

    def _unless_missing(self, work: Callable[[], Found]) -> Found | None:
        try:
            return work()
        except self.refusals as error:
            if self._is_missing(told(error)):
                return None
            raise

    async def _read(self, blocking: Callable[[Any], T]) -> T:
        """Return what ``blocking`` makes of a driver; it changes nothing, so a broken connection is tried again."""
        return await self._bridge.call(lambda: blocking(self._driver()), repeatable=True)

    async def _do(self, blocking: Callable[[Any], T]) -> T:
        """Return what ``blocking`` makes of a driver; it is run once, whatever comes of it."""
        return await self._bridge.call(lambda: blocking(self._driver()))

    def _bounded(self, rows: Iterable[T]) -> list[T]:
        """Return ``rows``, read no further than one past the limit. Raises CloudMisbehaved when there are more."""
        listed: list[T] = []
        for row in rows:
            listed.append(row)
            if len(listed) > self.policy.row_limit:
                raise AnswerTooLong("the cloud's list is longer than any list may be")
        return listed


def told(error: Exception) -> BaseHTTPError:
    """Return ``error`` with the status of the answer that it stems from, where its own class has none."""
    if isinstance(error, BaseHTTPError):
        return error
    with_status: BaseHTTPError = _http_error(current_call().status, str(error))
    return with_status


def named_options(account: CloudAccount, option: str) -> list[str]:
    """Return the comma-separated values of ``option``, empty when it is not given."""
    return [value.strip() for value in account.options.get(option, "").split(",") if value.strip()]


def refuse_location(spec: MachineSpec) -> None:
    """Raise CloudRefused when ``spec`` names a location at a cloud that has none to choose from."""
    if spec.location is not None:
        raise CloudRefused("this cloud has no locations to choose from", field="location")


def _carries(machine: CloudMachine, tags: Mapping[str, str]) -> bool:
    return all(machine.tags.get(key) == value for key, value in tags.items())


def _known(capability: str) -> Capability:
    try:
        return Capability(capability)
    except ValueError:
        fix = "one of " + ", ".join(Capability)
        raise InvalidValue("there is no such capability", field="capability", fix=fix) from None
