"""OpenStack, with the settings without which libcloud's driver half works.

Every service of the catalog must live under the host and port of an approved endpoint: the API's, which is Keystone's
(as behind one TLS proxy, told apart by paths), or one of its own. An entry that points elsewhere is refused by the
dial allow-list.
"""

from dataclasses import replace
from typing import Any, Final

from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import NodeLocation, StorageVolume
from libcloud.compute.drivers.openstack import OpenStackNodeDriver

from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.ports import CloudMachine, CloudSize, MachineAction, MachineSpec, MachineStatus
from drivers.clouds.generic import GenericCloud, refuse_location

_SERVICES: Final = {
    "compute": (Capability.MACHINE, Capability.SIZE, Capability.KEY_PAIR),
    "image": (Capability.IMAGE,),
    "volumev3": (Capability.VOLUME,),
    "volumev2": (Capability.VOLUME,),
}
_CONFLICT: Final = 409
_OVER_QUOTA: Final = frozenset({403, 413})
_AFTER: Final = {MachineAction.START: MachineStatus.RUNNING, MachineAction.STOP: MachineStatus.STOPPED}
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

    def _size(self, size: Any) -> CloudSize:
        # An attribute of libcloud's OpenStack sizes alone, where every other driver tells it in ``extra``.
        return replace(super()._size(size), vcpu=None if size.vcpus is None else float(size.vcpus))

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
        return options
