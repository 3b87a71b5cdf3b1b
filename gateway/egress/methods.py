"""The calls of a cloud's driver as JSON, read off its port's annotations, and a driver that passes its calls on."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from catalog.cloud_assets import AssetKind, AssetSpec, CloudAsset, CloudAssets
from catalog.clouds import CloudDriver, CloudMachine, Listing, MachineAction, MachineSpec, Proof
from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import ServiceInformation

_ASSETS: Final = "assets."


@dataclass(frozen=True, slots=True)
class Method:
    """The arguments and the result of one method, as JSON."""

    arguments: Mapping[str, TypeAdapter[Any]]
    result: TypeAdapter[Any]

    @classmethod
    def of(cls, function: Callable[..., object]) -> "Method":
        """Read them off the annotations of ``function``."""
        hints = get_type_hints(function)
        result = hints.pop("return")
        return cls({name: TypeAdapter(hint) for name, hint in hints.items()}, TypeAdapter(result))

    def pack(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``arguments`` as JSON."""
        return {name: self.arguments[name].dump_python(value, mode="json") for name, value in arguments.items()}

    def unpack(self, packed: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ``pack`` was given; what this release does not know of is left out. Raises CloudMisbehaved."""
        return {name: _valid(kind, packed[name]) for name, kind in self.arguments.items() if name in packed}

    def pack_result(self, result: object) -> Any:
        """Return ``result`` as JSON."""
        return self.result.dump_python(result, mode="json")

    def unpack_result(self, packed: object) -> Any:
        """Return what ``pack_result`` was given. Raises CloudMisbehaved."""
        return _valid(self.result, packed)


def _valid(kind: TypeAdapter[Any], packed: object) -> Any:
    try:
        return kind.validate_python(packed)
    except ValidationError as error:
        raise CloudMisbehaved("the other side of the line said what makes no sense", detail=str(error)) from error


def _methods(port: type, prefix: str = "") -> dict[str, Method]:
    calls = inspect.getmembers(port, inspect.iscoroutinefunction)
    return {f"{prefix}{name}": Method.of(call) for name, call in calls if name != "close"}


METHODS: Final[Mapping[str, Method]] = {**_methods(CloudDriver), **_methods(CloudAssets, _ASSETS)}


def method(name: object) -> Method:
    """Return the method of this name. Raises CloudMisbehaved where the driver's port has none."""
    found = METHODS.get(str(name))
    if found is None:
        raise CloudMisbehaved(f"the other side of the line named {str(name)[:40]!r}, which no driver has")
    return found


async def perform(driver: CloudDriver, name: str, arguments: Mapping[str, Any]) -> Any:
    """Call the method of ``driver`` with this name, one of ``METHODS``."""
    target: object = driver.assets if name.startswith(_ASSETS) else driver
    return await getattr(target, name.removeprefix(_ASSETS))(**arguments)


class Pass(Protocol):
    """Carries one call to where it is made."""

    def __call__(self, name: str, /, **arguments: Any) -> Awaitable[Any]:
        """Return what came of calling the method ``name``, one of ``METHODS``."""
        ...


class PassedOn:
    """catalog.clouds.CloudDriver whose calls are made elsewhere."""

    def __init__(self, carry: Pass) -> None:
        """``carry`` takes each call to where it is made."""
        self._carry = carry

    @property
    def assets(self) -> "PassedOnAssets":
        """The calls about assets, made elsewhere too."""
        return PassedOnAssets(self._carry)

    async def log_in(self) -> ServiceInformation:
        """Pass the call on."""
        result: ServiceInformation = await self._carry("log_in")
        return result

    async def prove(self, capability: str) -> Proof:
        """Pass the call on."""
        result: Proof = await self._carry("prove", capability=capability)
        return result

    async def rights(self) -> Sequence[Proof]:
        """Pass the call on."""
        result: Sequence[Proof] = await self._carry("rights")
        return result

    async def listing(self, capability: str) -> Listing:
        """Pass the call on."""
        result: Listing = await self._carry("listing", capability=capability)
        return result

    async def find_machines(self, tags: Mapping[str, str]) -> Sequence[CloudMachine]:
        """Pass the call on."""
        result: Sequence[CloudMachine] = await self._carry("find_machines", tags=tags)
        return result

    async def create_machine(self, spec: MachineSpec) -> CloudMachine:
        """Pass the call on."""
        result: CloudMachine = await self._carry("create_machine", spec=spec)
        return result

    async def machine(self, cloud_id: str) -> CloudMachine | None:
        """Pass the call on."""
        result: CloudMachine | None = await self._carry("machine", cloud_id=cloud_id)
        return result

    async def act(self, cloud_id: str, action: MachineAction) -> None:
        """Pass the call on."""
        await self._carry("act", cloud_id=cloud_id, action=action)

    async def rebuild(self, cloud_id: str, image: str) -> None:
        """Pass the call on."""
        await self._carry("rebuild", cloud_id=cloud_id, image=image)

    async def resize(self, cloud_id: str, size: str) -> None:
        """Pass the call on."""
        await self._carry("resize", cloud_id=cloud_id, size=size)

    async def rename(self, cloud_id: str, name: str) -> None:
        """Pass the call on."""
        await self._carry("rename", cloud_id=cloud_id, name=name)

    async def console(self, cloud_id: str) -> str:
        """Pass the call on."""
        result: str = await self._carry("console", cloud_id=cloud_id)
        return result

    async def close(self) -> None:
        """Do nothing: whoever makes the calls closes what makes them."""


class PassedOnAssets:
    """catalog.cloud_assets.CloudAssets whose calls are made elsewhere."""

    def __init__(self, carry: Pass) -> None:
        """``carry`` takes each call to where it is made."""
        self._carry = carry

    @property
    def kinds(self) -> frozenset[AssetKind]:
        """Every kind: what its cloud cannot make, the driver that is called refuses."""
        return frozenset(AssetKind)

    async def prove(self, kind: AssetKind) -> Proof:
        """Pass the call on."""
        result: Proof = await self._carry("assets.prove", kind=kind)
        return result

    async def find(
        self, kind: AssetKind, tags: Mapping[str, str], like: AssetSpec | None = None
    ) -> Sequence[CloudAsset]:
        """Pass the call on."""
        result: Sequence[CloudAsset] = await self._carry("assets.find", kind=kind, tags=tags, like=like)
        return result

    async def create(self, spec: AssetSpec) -> CloudAsset:
        """Pass the call on."""
        result: CloudAsset = await self._carry("assets.create", spec=spec)
        return result

    async def read(self, kind: AssetKind, cloud_id: str) -> CloudAsset | None:
        """Pass the call on."""
        result: CloudAsset | None = await self._carry("assets.read", kind=kind, cloud_id=cloud_id)
        return result

    async def destroy(self, kind: AssetKind, cloud_id: str) -> None:
        """Pass the call on."""
        await self._carry("assets.destroy", kind=kind, cloud_id=cloud_id)

    async def attach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Pass the call on."""
        await self._carry("assets.attach", kind=kind, cloud_id=cloud_id, machine=machine)

    async def detach(self, kind: AssetKind, cloud_id: str, machine: str) -> None:
        """Pass the call on."""
        await self._carry("assets.detach", kind=kind, cloud_id=cloud_id, machine=machine)
