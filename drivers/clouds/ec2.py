"""Amazon EC2 and what speaks its API, as libcloud needs it to be told.

libcloud's driver reads the first page of a list and no more, and finds nothing, without an error, in an answer
of another XML namespace. Both are mended in the connection class here: every page is fetched and joined, and
an answer that is not EC2's is refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.base import Node, NodeLocation
from libcloud.compute.drivers.ec2 import (
    NAMESPACE,
    VALID_EC2_REGIONS,
    EC2Connection,
    EC2NetworkSubnet,
    EC2NodeDriver,
    EC2NodeLocation,
    EC2Response,
    ExEC2AvailabilityZone,
)

from catalog.cloud_assets import AssetKind
from catalog.clouds import CloudAccount, CloudItem, CloudMachine, CloudSize, MachineSpec, MachineStatus, Proof
from catalog.errors import CloudMisbehaved, CloudRefused, InvalidValue
from catalog.listed import Listed
from catalog.messages.handshake import Capability, ServiceInformation
from catalog.ports import Dialer
from drivers.clouds import ec2_acting, ec2_pages
from drivers.clouds.assets import Clean, Shelf
from drivers.clouds.aws_assets import ElbBalancers, NamedShelf, Route53Records, Route53Zones, S3Containers
from drivers.clouds.aws_services import SERVICES, service, target_of
from drivers.clouds.ec2_assets import Ec2Snapshots, Ec2Volumes, literal
from drivers.clouds.ec2_pages import next_token, rows_count
from drivers.clouds.generic import GenericCloud, named_options
from drivers.clouds.parsing import identifier
from drivers.clouds.policy import PAGES_LIMIT, CallPolicy
from drivers.clouds.routed_http import AnswerTooLong

_DRY_RUN_ALLOWED, _DRY_RUN_DENIED = 412, 403
_TYPES_A_PAGE: Final = 100  # the most that DescribeInstanceTypes returns at once
_PAST_PERMISSION: Final = ("InvalidAMIID.",)
_ANY_IMAGE: Final = "ami-00000000"  # a dry run is refused or allowed before the image is looked at

# The account's limits, and a zone that is full: neither made anything, and either may be over soon.
_EXHAUSTED: Final = (
    "InstanceLimitExceeded", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "InsufficientInstanceCapacity",
    "InsufficientHostCapacity", "InsufficientFreeAddressesInSubnet",
)  # fmt: skip

# "shutting-down" cannot be undone, so nothing may be decided on such a machine any more.
_STATUSES: Final[Mapping[str, MachineStatus]] = {
    "pending": MachineStatus.PENDING,
    "running": MachineStatus.RUNNING,
    "stopping": MachineStatus.STOPPED,
    "stopped": MachineStatus.STOPPED,
    "shutting-down": MachineStatus.GONE,
    "terminated": MachineStatus.GONE,
}

_DRY_RUNS: Final[Mapping[Capability, str]] = {
    Capability.MACHINE: "RunInstances",
    Capability.IMAGE: "DescribeImages",
    Capability.SIZE: "DescribeInstanceTypes",
    Capability.LOCATION: "DescribeAvailabilityZones",
    Capability.NETWORK: "DescribeSubnets",
    Capability.KEY_PAIR: "DescribeKeyPairs",
    Capability.VOLUME: "DescribeVolumes",
}
# What is made beside volumes, at services of their own.
_BESIDE: Final[Mapping[AssetKind, tuple[Capability, Callable[[Any, Clean], NamedShelf]]]] = {
    AssetKind.CONTAINER: (Capability.CONTAINER, S3Containers),
    AssetKind.ZONE: (Capability.ZONE, Route53Zones),
    AssetKind.RECORD: (Capability.ZONE, Route53Records),
    AssetKind.BALANCER: (Capability.BALANCER, ElbBalancers),
}
# A server may ignore DryRun on reads and simply answer: it is asked for little, or the answer is megabytes long
# (eight hundred instance types, every public image).
_LITTLE: Final[Mapping[Capability, Mapping[str, str]]] = {
    Capability.MACHINE: {"ImageId": _ANY_IMAGE, "MinCount": "1", "MaxCount": "1"},
    Capability.IMAGE: {"Owner.1": "self"},
    Capability.SIZE: {"InstanceType.1": "t3.micro"},
}


class WholeResponse(EC2Response):
    """An EC2 answer whose root is what libcloud will look for."""

    def parse_body(self) -> Any:
        """Return the root element. Raises CloudMisbehaved when libcloud would find nothing in it."""
        parent: Any = super()
        root = parent.parse_body()
        tag = getattr(root, "tag", "")
        if not tag.startswith(f"{{{NAMESPACE}}}") or not tag.endswith("Response"):
            raise CloudMisbehaved(
                "the answer is not an EC2 answer of the expected version: its lists would come out empty",
                fix=f"the root element belongs in the namespace {NAMESPACE}",
            )
        return root


class WholeConnection(EC2Connection):
    """An EC2 connection that returns whole lists: it follows ``nextToken`` and joins the pages."""

    responseCls = WholeResponse  # noqa: N815 - libcloud's name

    def page(self, params: Mapping[str, str]) -> Any:
        """Return the root of one page and look for no further one."""
        single: Any = super()
        return single.request("/", params=dict(params)).object

    def request(self, action: Any, params: Any = None, *positional: Any, **rest: Any) -> Any:
        """Return the answer, all pages joined. Raises CloudMisbehaved when the pages do not end."""
        single: Any = super()
        driver: Any = self.driver
        asked = dict(params or {})
        if asked.get("Action") == "DescribeInstances" and "InstanceId.1" not in asked:
            asked["MaxResults"] = str(driver.page_count)
        response = single.request(action, asked, *positional, **rest)
        token = next_token(response.object)
        seen: set[str] = set()
        while token is not None:
            if token in seen or len(seen) >= driver.pages_limit - 1:
                raise CloudMisbehaved("the pages of the cloud's list do not end")
            seen.add(token)
            page = single.request(action, {**asked, "NextToken": token}, *positional, **rest).object
            token = next_token(page)
            _join(response.object, page)
        self.rows_count = rows_count(response.object)
        return response


class WholeDriver(EC2NodeDriver):
    """libcloud's driver on a whole connection, without its second request for every list of machines."""

    connectionCls = WholeConnection  # noqa: N815 - libcloud's name
    page_count = 500
    pages_limit = PAGES_LIMIT

    def ex_describe_addresses(self, nodes: Sequence[Any]) -> dict[str, list[str]]:
        """Return no further addresses: DescribeInstances has told the public one of each machine."""
        return {node.id: [] for node in nodes}


# libcloud's constructors are untyped; what they return is used as Any throughout.
_new_driver: Any = WholeDriver
_new_zone: Any = ExEC2AvailabilityZone
_new_location: Any = EC2NodeLocation
_new_subnet: Any = EC2NetworkSubnet


class Ec2Cloud(GenericCloud):
    """An EC2 account in one region."""

    provider = "ec2"
    has_networks = True
    # Hundreds of instance types of several KiB each: more than a thread may bring home.
    always_long = frozenset({Capability.SIZE})

    def __init__(self, account: CloudAccount, dialer: Dialer, policy: CallPolicy) -> None:
        if account.region not in VALID_EC2_REGIONS:
            raise InvalidValue("EC2 has no such region", field="region", fix="a region such as eu-central-1")
        super().__init__(account, dialer, policy)

    def _driver(self) -> Any:
        driver = _new_driver(
            self.account.account,
            self.account.secret.reveal(),
            secure=self.target.scheme == "https",
            host=self.target.host,
            port=self.target.port,
            region=self.account.region,
            signature_version="4",  # version 2 puts key and signature into the URL
        )
        driver.page_count, driver.pages_limit = self.policy.page_count, self.policy.pages_limit
        return driver

    def _log_in(self, driver: Any) -> ServiceInformation:
        driver.connection.request("/", params={"Action": "DescribeRegions"})
        if not driver.connection.rows_count:
            raise CloudMisbehaved("the cloud lists no regions, and it has at least the one asked")
        offered = (*_DRY_RUNS, *(kind for kind in SERVICES if target_of(self.account, kind) is not None))
        services = tuple(str(kind) for kind in offered)
        return ServiceInformation(provider=self.provider, region=self.account.region, services=services)

    def _prove(self, driver: Any, capability: Capability) -> Proof:
        if capability in SERVICES:
            return self._beside(capability).prove()
        lacking = ec2_acting.lacking(driver.connection) if capability == Capability.MACHINE else {}
        action = _DRY_RUNS[capability]
        params = {"Action": action, "DryRun": "true", **_LITTLE.get(capability, {})}
        try:
            driver.connection.request("/", params=params)
        except BaseHTTPError as error:
            allowed, detail = error.code == _DRY_RUN_ALLOWED, f"HTTP {error.code}"
            if str(error.message).startswith(_PAST_PERMISSION):
                # Whether the account may is decided first: who is told of the image is allowed to ask for it.
                allowed, detail = True, "refused only for the image, which does not exist"
            elif error.code not in {_DRY_RUN_ALLOWED, _DRY_RUN_DENIED}:
                raise
        else:
            allowed, detail = True, "answered"  # some reads ignore DryRun and simply answer
        detail = "; ".join((detail, *(f"may not {verb}: {by}" for verb, by in lacking.items())))
        return Proof(
            capability=capability, allowed=allowed, request=f"DryRun {action}", detail=detail, lacking=tuple(lacking)
        )

    def _rights(self, driver: Any) -> list[Proof]:
        # EC2 has no service list; dry runs tell, and read nothing. The other services are there once approved.
        proofs = [self._witnessed(self._prove(driver, capability)) for capability in _DRY_RUNS]
        for capability in SERVICES:
            there = target_of(self.account, capability) is not None
            detail = "" if there else "no endpoint of the service is approved"
            proofs.append(Proof(capability=capability, allowed=there, request="approved endpoints", detail=detail))
        return proofs

    def _items(self, driver: Any, capability: Capability, limit: int | None = None) -> Iterator[Listed]:
        if capability not in SERVICES:
            yield from super()._items(driver, capability, limit)
            return
        most = self.policy.row_limit if limit is None else limit
        for count, asset in enumerate(self._beside(capability).listed(), start=1):
            if count > most:
                raise AnswerTooLong("the cloud's list is longer than any list may be")
            yield CloudItem(cloud_id=asset.cloud_id, name=asset.name, facts=dict(asset.facts))

    def _beside(self, capability: Capability) -> NamedShelf:
        """Return the shelf of what ``capability`` is called by. Raises CloudRefused where its endpoint is missing."""
        return _BESIDE[AssetKind(capability.value)][1](self._service(capability), self._bridge.clean)

    def _list_sizes(self, driver: Any) -> Iterator[Any]:
        # What the account may really use here, asked of the cloud; libcloud's own list is a file of some other day.
        asked = {"Action": "DescribeInstanceTypes"}
        offered = named_options(self.account, "sizes")
        if offered:
            asked |= {"Filter.1.Name": "instance-type"}
            asked |= {f"Filter.1.Value.{number}": name for number, name in enumerate(offered, start=1)}
        return self._pages(driver, asked, "instanceTypeSet", _TYPES_A_PAGE)

    def _size(self, size: Any) -> CloudSize:
        return ec2_pages.size(size)

    def _list_images(self, driver: Any) -> Iterator[Any]:
        # Never all: a real region has more than 100,000 images.
        ids, names = (named_options(self.account, option) for option in ("image_ids", "image_names"))
        asked = {"Action": "DescribeImages", "Owner.1": self.account.options.get("image_owner", "self")}
        asked |= {f"ImageId.{number}": name for number, name in enumerate(ids, start=1)}
        if names:
            asked |= {"Filter.1.Name": "name"}
            asked |= {f"Filter.1.Value.{number}": name for number, name in enumerate(names, start=1)}
        # Those who name ids may not ask for pages.
        page_count = None if ids else self.policy.page_count
        return self._pages(driver, asked, "imagesSet", page_count)

    def _image(self, image: Any) -> CloudItem:
        cloud_id = identifier(ec2_pages.text(image, "imageId"))
        told = {"architecture": ec2_pages.text(image, "architecture"), "os_family": ec2_pages.text(image, "platform")}
        facts = {name: self._text(value, 64) for name, value in told.items() if value}
        return CloudItem(cloud_id=cloud_id, name=self._text(ec2_pages.text(image, "name") or cloud_id), facts=facts)

    def _pages(self, driver: Any, asked: Mapping[str, str], group: str, page_count: int | None) -> Iterator[Any]:
        limit = self.policy.pages_limit
        return ec2_pages.items(driver.connection, asked, group, page_count=page_count, pages_limit=limit)

    def _shelves(self) -> Mapping[AssetKind, Callable[[Any], Shelf]]:
        clean, page_count = self._bridge.clean, self.policy.page_count
        return {
            AssetKind.VOLUME: lambda driver: Ec2Volumes(driver, clean, page_count),
            AssetKind.SNAPSHOT: lambda driver: Ec2Snapshots(driver, clean, page_count),
            **{
                kind: lambda _driver, make=make, of=capability: make(self._service(of), clean)  # type: ignore[misc]
                for kind, (capability, make) in _BESIDE.items()
                if target_of(self.account, capability) is not None
            },
        }

    def _service(self, capability: Capability) -> Any:
        target = target_of(self.account, capability)
        if target is None:
            raise CloudRefused(f"no endpoint of a service for {capability}s is approved", field="capability")
        return service(self.account, capability, target)

    def _list_locations(self, driver: Any) -> list[NodeLocation]:
        return _whole(driver, driver.list_locations())

    def _list_networks(self, driver: Any) -> Iterator[Any]:
        # Subnets: what a machine is attached to. A VPC is the name of several.
        asked = {"Action": "DescribeSubnets"}
        return ec2_pages.items(driver.connection, asked, "subnetSet", page_count=self.policy.page_count)

    def _network(self, network: Any) -> CloudItem:
        cloud_id = identifier(ec2_pages.text(network, "subnetId"))
        told = {"cidr": "cidrBlock", "vpc": "vpcId", "zone": "availabilityZone", "state": "state"}
        facts = {name: self._text(value, 64) for name, key in told.items() if (value := ec2_pages.text(network, key))}
        named = ec2_pages.tags(network).get("Name") or cloud_id
        return CloudItem(cloud_id=cloud_id, name=self._text(named), facts=facts)

    def _list_key_pairs(self, driver: Any) -> list[Any]:
        return _whole(driver, driver.list_key_pairs())

    def _list_volumes(self, driver: Any) -> list[Any]:
        return _whole(driver, driver.list_volumes())

    def _list_nodes(self, driver: Any) -> Iterator[Node]:
        asked = {"Action": "DescribeInstances"}
        for reservation in self._pages(driver, asked, "reservationSet", self.policy.page_count):
            for machine in ec2_pages.inside(reservation, "instancesSet"):
                yield driver._to_node(machine)  # noqa: SLF001 - libcloud's own reading of one

    def _find(self, driver: Any, tags: Mapping[str, str]) -> list[CloudMachine]:
        filters: dict[str, str | list[str]] = {f"tag:{literal(key)}": literal(value) for key, value in tags.items()}
        filters["instance-state-name"] = ["pending", "running", "stopping", "stopped"]
        return self._bounded(map(self._machine, _whole(driver, driver.list_nodes(ex_filters=filters))))

    def _one(self, driver: Any, cloud_id: str) -> CloudMachine | None:
        nodes = _whole(driver, driver.list_nodes(ex_node_ids=[cloud_id]))
        return self._machine(nodes[0]) if nodes else None

    def _location(self, location: NodeLocation) -> CloudItem:
        # libcloud numbers zones as they come; their name is what a create understands.
        return CloudItem(cloud_id=location.name, name=self._text(location.name), facts={"country": location.country})

    def _status(self, node: Node) -> MachineStatus:
        return _STATUSES.get(str(node.extra.get("status")), MachineStatus.UNKNOWN)

    def _reason(self, node: Node) -> str:
        return str(node.extra.get("reason") or "")

    def _is_missing(self, error: BaseHTTPError) -> bool:
        return super()._is_missing(error) or str(error.message).startswith("InvalidInstanceID.NotFound")

    def _is_exhausted(self, error: BaseHTTPError) -> bool:
        return str(error.message).startswith(_EXHAUSTED)

    def _resize(self, driver: Any, cloud_id: str, size: str, *, is_begun: bool) -> bool:
        del is_begun
        machine = self._one(driver, cloud_id)
        if machine is None:
            raise CloudRefused("the cloud does not know this machine", field="id")
        if machine.size == size:
            return True
        if machine.status is not MachineStatus.STOPPED:
            raise CloudRefused("EC2 gives only a stopped machine another size", field="state", fix="stop it first")
        node = self._handle(driver, cloud_id)
        if not driver.ex_modify_instance_attribute(node, {"InstanceType.Value": size}):
            raise CloudMisbehaved("the cloud answered, but did not confirm the resize")
        return True

    def _rename(self, driver: Any, cloud_id: str, name: str) -> None:
        # Its name is a tag like others; those that are not named stay as they are.
        if not driver.ex_create_tags(self._handle(driver, cloud_id), {"Name": name}):
            raise CloudMisbehaved("the cloud answered, but did not confirm the name")

    def _console(self, driver: Any, cloud_id: str) -> str:
        return str(driver.ex_get_console_output(self._handle(driver, cloud_id))["output"] or "")

    def _create_options(self, driver: Any, spec: MachineSpec) -> dict[str, Any]:
        options: dict[str, Any] = {"ex_metadata": dict(spec.tags), "ex_mincount": 1, "ex_maxcount": 1}
        if spec.client_token:
            options["ex_clienttoken"] = spec.client_token
        if spec.key_pair is not None:
            options["ex_keyname"] = spec.key_pair
        if spec.network is not None:
            options["ex_subnet"] = _new_subnet(spec.network, spec.network, "available")
        if spec.location is not None:
            zone = _new_zone(spec.location, "available", driver.region_name)
            options["location"] = _new_location(0, spec.location, driver.country, driver, zone)
        return options


def _whole(driver: Any, listed: Sequence[Any]) -> list[Any]:
    if driver.connection.rows_count and not listed:
        raise CloudMisbehaved("the answer holds rows, and libcloud found none of them")
    return list(listed)


def _join(whole: Any, page: Any) -> None:
    for group in page:
        if len(group):
            known = whole.find(group.tag)
            if known is None:
                whole.append(group)
            else:
                known.extend(list(group))
