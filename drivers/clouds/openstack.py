"""OpenStack, with the settings without which libcloud's driver half works.

Every service of the catalog must live under the approved endpoint's host and port (as behind one TLS proxy, told
apart by paths): a catalog entry that points elsewhere is refused by the dial allow-list.
"""

from typing import Any, Final

from libcloud.compute.base import NodeLocation, StorageVolume
from libcloud.compute.drivers.openstack import OpenStackNodeDriver

from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.ports import CloudMachine, MachineSpec
from drivers.clouds.generic import GenericCloud, refuse_location

_SERVICES: Final = {
    "compute": (Capability.MACHINE, Capability.SIZE, Capability.KEY_PAIR),
    "image": (Capability.IMAGE,),
    "volumev3": (Capability.VOLUME,),
    "volumev2": (Capability.VOLUME,),
}
_new_driver: Any = OpenStackNodeDriver  # its constructor is untyped, and returns a subclass by API version


class OpenStackCloud(GenericCloud):
    """A project of an OpenStack cloud, as one user."""

    provider = "openstack"

    def _driver(self) -> Any:
        options = self.account.options
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        return _new_driver(
            self.account.account,
            self.account.secret.reveal(),
            secure=self.target.scheme == "https",
            api_version="2.2",  # without it: a driver of 2011 that knows no networks
            # Without /v3, which libcloud appends by itself.
            ex_force_auth_url=f"{self.target.scheme}://{host}:{self.target.port}",
            ex_force_auth_version="3.x_password",
            ex_tenant_name=options["project"],
            ex_domain_name=options.get("domain", "Default"),
            ex_force_service_region=self.account.region,
        )

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

    def _list_locations(self, driver: Any) -> list[NodeLocation]:
        # libcloud makes up one location with no id and no name.
        del driver
        return []

    def _list_volumes(self, driver: Any) -> list[StorageVolume]:
        return list(driver.list_volumes())

    def _one(self, driver: Any, cloud_id: str) -> CloudMachine | None:
        node = driver.ex_get_node_details(cloud_id)
        return None if node is None else self._machine(node)

    def _reason(self, node: Any) -> str:
        return str((node.extra.get("fault") or {}).get("message", ""))

    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        del driver
        refuse_location(spec)
        options: dict[str, Any] = {"ex_metadata": dict(spec.tags)}
        if spec.key_pair is not None:
            options["ex_keyname"] = spec.key_pair
        return options
