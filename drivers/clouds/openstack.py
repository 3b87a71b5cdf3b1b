"""OpenStack, with the settings without which libcloud's driver half works.

Every service of the catalog must live under the host and port of an approved endpoint: the API's, which is Keystone's
(as behind one TLS proxy, told apart by paths), or one of its own. An entry that points elsewhere is refused by the
dial allow-list.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import NodeLocation, StorageVolume
from libcloud.compute.drivers.openstack import OpenStackNetwork, OpenStackNodeDriver

from catalog.cloud_assets import AssetKind
from catalog.clouds import CloudItem, CloudMachine, CloudSize, MachineAction, MachineSpec, MachineStatus, Proof
from catalog.errors import CloudMisbehaved, CloudRefused
from catalog.messages.handshake import Capability, ServiceInformation
from drivers.clouds.assets import Shelf
from drivers.clouds.generic import GenericCloud, refuse_location
from drivers.clouds.openstack_assets import CinderSnapshots, CinderVolumes
from drivers.clouds.parsing import identifier
from drivers.keystone_url import keystone_url

_SERVICES: Final = {
    "compute": (Capability.MACHINE, Capability.SIZE, Capability.KEY_PAIR),
    "image": (Capability.IMAGE,),
    "network": (Capability.NETWORK,),
    "volumev3": (Capability.VOLUME,),
    "volumev2": (Capability.VOLUME,),
}
_READING_ROLES: Final = frozenset({"reader", "observer", "auditor"})
_LIMITS: Final = (
    ("machines", "totalInstancesUsed", "maxTotalInstances"),
    ("cores", "totalCoresUsed", "maxTotalCores"),
    ("MiB", "totalRAMUsed", "maxTotalRAMSize"),
)
_CONFLICT: Final = 409
_OVER_QUOTA: Final = frozenset({403, 413})
# Nova's words for a server that is on its way to another size; what it becomes, it shows once it is there.
_RESIZING: Final = frozenset({"RESIZE", "MIGRATING", "REVERT_RESIZE"})
_CONSOLE_LINES: Final = 1_000
_AFTER: Final = {MachineAction.START: MachineStatus.RUNNING, MachineAction.STOP: MachineStatus.STOPPED}
_new_network: Any = OpenStackNetwork
_new_driver: Any = OpenStackNodeDriver  # its constructor is untyped, and returns a subclass by API version


class OpenStackCloud(GenericCloud):
    """A project of an OpenStack cloud, as one user."""

    provider = "openstack"
    has_networks = True

    def _driver(self) -> Any:
        options = self.account.options
        return _new_driver(
            self.account.account,
            self.account.secret.reveal(),
            secure=self.target.scheme == "https",
            api_version="2.2",  # without it: a driver of 2011 that knows no networks
            ex_force_auth_url=self._keystone(),
            ex_force_auth_version="3.x_password",
            ex_tenant_name=options["project"],
            ex_domain_name=options.get("domain", "Default"),
            ex_force_service_region=self.account.region,
        )

    def _keystone(self) -> str:
        """Return the URL to which libcloud appends the version."""
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        path = urlsplit(keystone_url(self.account.endpoint.url)).path
        return f"{self.target.scheme}://{host}:{self.target.port}{path}"

    def _log_in(self, driver: Any) -> ServiceInformation:
        # Not get_service_types(region): it drops a service that has an endpoint in another region too.
        entries = driver.connection.get_service_catalog().get_entries()
        region = self.account.region
        types = {entry.service_type for entry in entries if any(at.region == region for at in entry.endpoints)}
        offered = {capability for kind in types for capability in _SERVICES.get(kind, ())}
        if not offered:
            raise CloudMisbehaved("the service catalog holds nothing for this region", field="region")
        services = tuple(kind.value for kind in Capability if kind in offered)
        return ServiceInformation(provider=self.provider, region=region, services=services)

    def _rights(self, driver: Any) -> list[Proof]:
        """Return proofs by the service catalog, and by the token's roles: who may only read makes no machines."""
        return [self._by_roles(driver, proof) for proof in super()._rights(driver)]

    def _claimed(self, driver: Any) -> list[Capability]:
        # libcloud makes up one location with no id and no name.
        return [capability for capability in super()._claimed(driver) if capability is not Capability.LOCATION]

    def _prove(self, driver: Any, capability: Capability) -> Proof:
        proof = self._by_roles(driver, super()._prove(driver, capability))
        if capability is not Capability.MACHINE or not proof.allowed:
            return proof
        return replace(proof, detail=self._text(f"{proof.detail}; {self._limits(driver)}"))

    def _by_roles(self, driver: Any, proof: Proof) -> Proof:
        roles = driver.connection.get_auth_class().auth_user_roles or ()
        names = {str(role.name) for role in roles if getattr(role, "name", None)}
        if proof.capability != Capability.MACHINE or not names or not names <= _READING_ROLES:
            return proof
        detail = self._text(", ".join(sorted(names)))
        return replace(proof, allowed=False, request="roles of the token", detail=detail)

    def _limits(self, driver: Any) -> str:
        """Return how much of its quota the project uses. It is not to judge by: it may be another in a moment."""
        try:
            told = driver.connection.request("/limits").object["limits"]["absolute"]
            pairs = [(name, int(told[used]), int(told[most])) for name, used, most in _LIMITS]
        except (BaseHTTPError, KeyError, TypeError, ValueError):
            return "limits not told"
        return ", ".join(f"{name} {used} of {'any number' if most < 0 else most}" for name, used, most in pairs)

    def _list_sizes(self, driver: Any) -> Iterator[Mapping[str, Any]]:  # type: ignore[override]  # read by _size
        # Not by libcloud: it reads the first page, a thousand flavors, and takes them for all.
        return self._pages(driver.connection, "/flavors/detail", "flavors")

    def _size(self, size: Mapping[str, Any]) -> CloudSize:  # type: ignore[override]  # as Nova tells it
        vcpu, memory_mib, disk_gib = (size.get(name) for name in ("vcpus", "ram", "disk"))
        if not isinstance(memory_mib, int) or not isinstance(vcpu, int | None) or not isinstance(disk_gib, int | None):
            raise CloudMisbehaved("the cloud lists a flavor without sensible numbers")
        told = size.get("id")
        cloud_id = identifier(str(told) if isinstance(told, int) else told)  # a number, where nobody gave another
        name = self._text(size.get("name") or cloud_id)
        return CloudSize(cloud_id=cloud_id, name=name, vcpu=vcpu, memory_mib=memory_mib, disk_gib=disk_gib)

    def _list_images(self, driver: Any) -> Iterator[Mapping[str, Any]]:  # type: ignore[override]  # read by _image
        return self._pages(driver.image_connection, "/v2/images", "images")

    def _image(self, image: Mapping[str, Any]) -> CloudItem:  # type: ignore[override]  # as Glance tells it
        # Not by libcloud: it drops the architecture, and reads all pages before it tells of the first image.
        cloud_id = identifier(image.get("id"))
        told = {"architecture": "architecture", "os_distro": "os_family", "os_version": "os_version"}
        facts = {name: self._text(image[key], 64) for key, name in told.items() if image.get(key)}
        return CloudItem(cloud_id=cloud_id, name=self._text(image.get("name") or cloud_id), facts=facts)

    def _pages(self, connection: Any, path: str, key: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a list, page by page. Raises CloudMisbehaved for pages that do not end, or hold no rows."""
        asked: dict[str, Any] = {"limit": self.policy.page_count}
        seen: set[str] = set()
        for _page in range(self.policy.pages_limit):
            page = connection.request(path, params=dict(asked)).object
            rows = page.get(key) if isinstance(page, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise CloudMisbehaved(f"the cloud's list of {key} is no list")
            yield from rows
            following = _following(page, key)
            if following is None:
                return
            marker = parse_qs(urlsplit(following).query).get("marker", [""])[0]
            # Only the marker is taken from the cloud's link: where to ask is ours to say.
            if not rows or not marker or marker in seen:
                break
            seen.add(marker)
            asked["marker"] = marker
        raise CloudMisbehaved("the pages of the cloud's list do not end")

    def _shelves(self) -> Mapping[AssetKind, Callable[[Any], Shelf]]:
        clean = self._bridge.clean
        return {
            AssetKind.VOLUME: lambda driver: CinderVolumes(driver, clean, self._pages),
            AssetKind.SNAPSHOT: lambda driver: CinderSnapshots(driver, clean, self._pages),
        }

    def _list_locations(self, driver: Any) -> list[NodeLocation]:
        # libcloud makes up one location with no id and no name.
        del driver
        return []

    def _list_networks(self, driver: Any) -> Iterator[Mapping[str, Any]]:
        # Not by libcloud: it reads the first page, and takes it for all.
        return self._pages(driver.network_connection, "/v2.0/networks", "networks")

    def _network(self, network: Mapping[str, Any]) -> CloudItem:
        cloud_id = identifier(network.get("id"))
        told = {"status": "state", "router:external": "external", "shared": "shared"}
        facts = {
            name: self._text(network[key], 64).lower() for key, name in told.items() if network.get(key) is not None
        }
        return CloudItem(cloud_id=cloud_id, name=self._text(network.get("name") or cloud_id), facts=facts)

    def _list_volumes(self, driver: Any) -> list[StorageVolume]:
        return list(driver.list_volumes())

    def _one(self, driver: Any, cloud_id: str) -> CloudMachine | None:
        node = driver.ex_get_node_details(cloud_id)
        return None if node is None else self._machine(node)

    def _reason(self, node: Any) -> str:
        return str((node.extra.get("fault") or {}).get("message", ""))

    def _is_exhausted(self, error: BaseHTTPError) -> bool:
        # Nova refuses with 403; 413 was its word for it once. Its ports' quota fails the server later instead.
        return error.code in _OVER_QUOTA and "quota" in str(error.message).lower()

    def _act(self, driver: Any, cloud_id: str, action: MachineAction) -> None:
        try:
            super()._act(driver, cloud_id, action)
        except BaseHTTPError as error:
            if error.code != _CONFLICT or not self._is_already(driver, cloud_id, action):
                raise

    def _rebuild(self, driver: Any, cloud_id: str, image: str) -> None:
        # Not by libcloud: it would send an empty name and no metadata, and take our marks off the machine.
        self._ask(driver, cloud_id, {"rebuild": {"imageRef": image}})

    def _resize(self, driver: Any, cloud_id: str, size: str, *, is_begun: bool) -> bool:
        server = driver.connection.request(_server(cloud_id)).object["server"]
        status, has_it = str(server["status"]), server["flavor"].get("id") == size
        if status == "VERIFY_RESIZE" and has_it:
            self._ask(driver, cloud_id, {"confirmResize": None})
        elif status in _RESIZING:
            return False
        elif not has_it and is_begun:
            told = self._text((server.get("fault") or {}).get("message", ""))
            raise CloudRefused(f"the cloud did not give the machine another size{told and f': {told}'}", field="size")
        elif not has_it:
            self._ask(driver, cloud_id, {"resize": {"flavorRef": size}})
            return False
        return True

    def _rename(self, driver: Any, cloud_id: str, name: str) -> None:
        driver.ex_set_server_name(self._handle(driver, cloud_id), name)

    def _console(self, driver: Any, cloud_id: str) -> str:
        node = self._handle(driver, cloud_id)
        return str(driver.ex_get_console_output(node, length=_CONSOLE_LINES).get("output") or "")

    def _ask(self, driver: Any, cloud_id: str, action: Mapping[str, Any]) -> None:
        driver.connection.request(f"{_server(cloud_id)}/action", method="POST", data=dict(action))

    def _is_already(self, driver: Any, cloud_id: str, action: MachineAction) -> bool:
        """Return whether the machine is what ``action`` would make it: Nova refuses to do it again."""
        wanted = _AFTER.get(action)
        machine = None if wanted is None else self._unless_missing(lambda: self._one(driver, cloud_id))
        return machine is not None and machine.status is wanted

    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        del driver
        refuse_location(spec)
        options: dict[str, Any] = {"ex_metadata": dict(spec.tags)}
        if spec.key_pair is not None:
            options["ex_keyname"] = spec.key_pair
        if spec.network is not None:
            options["networks"] = [_new_network(spec.network, spec.network, None, None)]
        return options


def _server(cloud_id: str) -> str:
    return f"/servers/{quote(cloud_id, safe='')}"


def _following(page: Mapping[str, Any], key: str) -> str | None:
    """Return the link to the next page, as Nova, Neutron and Cinder write it or as Glance does; None at the end."""
    links = page.get(f"{key}_links")
    told = [link.get("href") for link in links if link.get("rel") == "next"] if isinstance(links, list) else []
    following = told[0] if told else page.get("next")
    return str(following) if following else None
