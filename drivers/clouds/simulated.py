"""The simulated private cloud of the demo and the tests, spoken to by libcloud like any other.

It has no client token and its names are not unique, so one machine per order is up to us: the tags are looked
up before a create is repeated. Every list says its ``total``, so that a truncated one is noticed.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from libcloud.common.base import ConnectionUserAndKey, JsonResponse
from libcloud.compute.base import KeyPair, Node, NodeDriver, NodeImage, NodeLocation, NodeSize, StorageVolume
from libcloud.compute.types import NodeState, StorageVolumeState

from catalog.clouds import CloudMachine, MachineSpec
from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import Capability, ServiceInformation
from drivers.clouds.generic import GenericCloud
from drivers.clouds.parsing import identifier
from drivers.clouds.policy import PAGES_LIMIT
from drivers.clouds.routed_http import AnswerTooLong

_ROWS_LIMIT = 20_000  # libcloud's lists are whole before anybody can count them


class SimulatedResponse(JsonResponse):
    """A JSON object, or an error whose words stand under ``error``."""

    def parse_body(self) -> Any:
        """Return the object. Raises CloudMisbehaved when the body is another thing."""
        parent: Any = super()
        body = parent.parse_body()
        if not isinstance(body, dict):
            raise CloudMisbehaved("the cloud's answer is not a JSON object")
        return body

    def parse_error(self) -> str:
        """Return the cloud's own words."""
        return str(self.body)


class SimulatedConnection(ConnectionUserAndKey):
    """HTTP with basic authentication by account and secret."""

    responseCls = SimulatedResponse  # noqa: N815 - libcloud's name

    def add_default_headers(self, headers: dict[str, str]) -> dict[str, str]:
        """Return ``headers`` with the credentials and the body's type."""
        pair = base64.b64encode(f"{self.user_id}:{self.key}".encode()).decode()
        return {**headers, "Authorization": f"Basic {pair}", "Content-Type": "application/json"}


class SimulatedNodeDriver(NodeDriver):
    """libcloud's compute methods on the simulated cloud's HTTP API."""

    connectionCls = SimulatedConnection  # noqa: N815 - libcloud's name
    name = "Simulated private cloud"
    website = "https://crossway.invalid/simulated"
    type = "simulated"
    pages_limit = PAGES_LIMIT

    _STATES: ClassVar[Mapping[str, NodeState]] = {
        "PENDING": NodeState.PENDING,
        "RUNNING": NodeState.RUNNING,
        "STOPPED": NodeState.STOPPED,
        "FAILED": NodeState.ERROR,
    }

    def list_sizes(self, location: object = None) -> list[NodeSize]:
        """Return the sizes."""
        del location
        return [
            NodeSize(
                row["id"], row["name"], ram=row["memory_mib"], disk=row["disk_gib"], bandwidth=0,
                price=0, driver=self, extra={"cpu": row["vcpu"]},
            )
            for row in self._rows("/v1/sizes")
        ]  # fmt: skip

    def list_images(self, location: object = None) -> list[NodeImage]:
        """Return the images."""
        del location
        return [NodeImage(row["id"], row["name"], driver=self) for row in self._rows("/v1/images")]

    def list_locations(self) -> list[NodeLocation]:
        """Return the halls of the data centre."""
        return [NodeLocation(row["id"], row["name"], row["country"], self) for row in self._rows("/v1/locations")]

    def ex_list_networks(self) -> list[NodeLocation]:
        """Return the networks; all that they have are an id and a name."""
        return [NodeLocation(row["id"], row["name"], "", self) for row in self._rows("/v1/networks")]

    def list_key_pairs(self) -> list[KeyPair]:
        """Return the key pairs, public halves only."""
        return [
            KeyPair(row["name"], public_key=row["public_key"], fingerprint=row["fingerprint"], driver=self)
            for row in self._rows("/v1/key-pairs")
        ]

    def list_volumes(self) -> list[StorageVolume]:
        """Return the volumes."""
        return [
            StorageVolume(row["id"], row["name"], row["size_gib"], self, state=StorageVolumeState.AVAILABLE)
            for row in self._rows("/v1/volumes")
        ]

    def list_nodes(self, ex_tags: Mapping[str, str] | None = None) -> list[Node]:
        """Return the machines that carry all of ``ex_tags``; every machine without."""
        query = {f"tag.{key}": value for key, value in (ex_tags or {}).items()}
        return [self._node(row) for row in self._rows("/v1/machines", query)]

    def ex_get_node(self, node_id: str) -> Node:
        """Return the machine. Raises BaseHTTPError 404 when there is none."""
        return self._node(self._object("GET", f"/v1/machines/{quote(node_id, safe='')}"))

    def create_node(self, name: str, size: NodeSize, image: NodeImage, *_: Any, **options: Any) -> Node:
        """Create a machine; options are ex_tags, ex_location, ex_key_pair and ex_network."""
        wanted = {
            "name": name,
            "size": size.id,
            "image": image.id,
            "tags": options["ex_tags"],
            "location": options["ex_location"],
            "key_pair": options["ex_key_pair"],
            "network": options["ex_network"],
        }
        return self._node(self._object("POST", "/v1/machines", wanted))

    def destroy_node(self, node: Node) -> bool:
        """Destroy the machine. Raises BaseHTTPError 404 when there is none."""
        self._object("DELETE", f"/v1/machines/{_segment(node)}")
        return True

    def start_node(self, node: Node) -> bool:
        """Start the machine."""
        return self._verb(node, "start")

    def stop_node(self, node: Node) -> bool:
        """Stop the machine."""
        return self._verb(node, "stop")

    def reboot_node(self, node: Node) -> bool:
        """Reboot the machine."""
        return self._verb(node, "reboot")

    def ex_rebuild(self, node: Node, image: str) -> None:
        """Make the machine's disk anew from ``image``."""
        self._object("POST", f"/v1/machines/{_segment(node)}/rebuild", {"image": image})

    def ex_set(self, node: Node, **changes: str) -> None:
        """Give the machine another ``size`` or ``name``."""
        self._object("PATCH", f"/v1/machines/{_segment(node)}", changes)

    def ex_console(self, node: Node) -> str:
        """Return what the machine has written to its console."""
        return str(self._object("GET", f"/v1/machines/{_segment(node)}/console")["text"])

    def ex_services(self) -> dict[str, Any]:
        """Return the service list."""
        return self._object("GET", "/v1/services")

    def _verb(self, node: Node, verb: str) -> bool:
        self._object("POST", f"/v1/machines/{_segment(node)}/{verb}", {})
        return True

    def _node(self, row: dict[str, Any]) -> Node:
        return Node(
            row["id"], row["name"], self._STATES.get(row["state"], NodeState.UNKNOWN), row["addresses"], [], self,
            extra={name: row[name] for name in ("tags", "reason", "size", "image", "network")},
        )  # fmt: skip

    def _object(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection: Any = self.connection
        data = None if body is None else json.dumps(body)
        answered: dict[str, Any] = connection.request(path, method=method, data=data).object
        return answered

    def _rows(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows of a list. Raises CloudMisbehaved at its end when it holds fewer than it says."""
        connection: Any = self.connection
        count = 0
        after: str | None = None
        for _page in range(self.pages_limit):
            params = {**(query or {}), **({"after": after} if after else {})}
            page = connection.request(path, params=params).object
            count += len(page["items"])
            if count > _ROWS_LIMIT:
                raise AnswerTooLong("the cloud's list is longer than any list may be")
            yield from page["items"]
            after = page["next"]
            if after is None:
                break
        if after is not None or count != page["total"]:
            raise CloudMisbehaved("the cloud's list is truncated: it holds fewer rows than it says")


def _segment(node: Node) -> str:
    return quote(node.id or "", safe="")


_new_driver: Any = SimulatedNodeDriver  # the constructor it inherits is untyped


class SimulatedCloud(GenericCloud):
    """An account at the simulated private cloud."""

    provider = "simulated"
    has_networks = True

    def _driver(self) -> Any:
        secure = self.target.scheme == "https"
        driver = _new_driver(
            self.account.account,
            self.account.secret.reveal(),
            secure=secure,
            host=self.target.host,
            port=self.target.port,
        )
        driver.pages_limit = self.policy.pages_limit
        return driver

    def _log_in(self, driver: Any) -> ServiceInformation:
        answered = driver.ex_services()
        services = tuple(kind.value for kind in Capability if kind.value in answered["services"])
        if not services:
            raise CloudMisbehaved("the cloud says that it has no service at all")
        return ServiceInformation(provider=self.provider, region=self._text(answered["region"], 64), services=services)

    def _find(self, driver: Any, tags: Mapping[str, str]) -> list[CloudMachine]:
        return self._bounded(map(self._machine, driver.list_nodes(ex_tags=tags)))

    def _one(self, driver: Any, cloud_id: str) -> CloudMachine | None:
        return self._machine(driver.ex_get_node(identifier(cloud_id)))

    def _rebuild(self, driver: Any, cloud_id: str, image: str) -> None:
        driver.ex_rebuild(self._handle(driver, cloud_id), image)

    def _resize(self, driver: Any, cloud_id: str, size: str, *, is_begun: bool) -> bool:
        del is_begun
        driver.ex_set(self._handle(driver, cloud_id), size=size)
        return True

    def _rename(self, driver: Any, cloud_id: str, name: str) -> None:
        driver.ex_set(self._handle(driver, cloud_id), name=name)

    def _console(self, driver: Any, cloud_id: str) -> str:
        return str(driver.ex_console(self._handle(driver, cloud_id)))

    def _reason(self, node: Node) -> str:
        return str(node.extra["reason"])

    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        del driver
        where = {"ex_location": spec.location, "ex_network": spec.network}
        return {"ex_tags": dict(spec.tags), "ex_key_pair": spec.key_pair, **where}
