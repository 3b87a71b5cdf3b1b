"""Buckets, hosted zones with their records, and classic load balancers of an Amazon account."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError
from libcloud.storage.types import (
    ContainerAlreadyExistsError,
    ContainerDoesNotExistError,
    ContainerIsNotEmptyError,
)

from catalog.cloud_assets import AssetKind, AssetSpec, CloudAsset
from catalog.clouds import MachineStatus, Proof
from catalog.errors import CloudMisbehaved, CloudRefused
from catalog.messages.contracts import TAG_ASSET
from catalog.messages.handshake import Capability
from drivers.clouds.assets import Clean
from drivers.clouds.aws_services import ROUTE53_VERSION, patience
from drivers.clouds.parsing import identifier, tag_text
from drivers.clouds.policy import PAGES_LIMIT

_FORBIDDEN, _NOT_FOUND = 403, 404
_RUNNING = MachineStatus.RUNNING


@dataclass(frozen=True, slots=True)
class NamedShelf:
    """What is known by its name alone: in it stands the asset's id, which nobody else has."""

    driver: Any
    clean: Clean

    kind: ClassVar[AssetKind]
    capability: ClassVar[Capability]
    request: ClassVar[str]

    def prove(self) -> Proof:
        """Return whether the account may look: these services have no dry run."""
        proof = Proof(capability=self.capability, request=self.request, allowed=False, detail="HTTP 403")
        try:
            next(iter(self.listed()), None)
        except InvalidCredsError:
            return proof
        except BaseHTTPError as error:
            if error.code != _FORBIDDEN:
                raise
            return proof
        return replace(proof, allowed=True, detail="answered")

    def listed(self) -> Iterator[CloudAsset]:
        """Yield all that there is, whoever made it."""
        raise NotImplementedError

    def find(self, tags: Mapping[str, str], like: AssetSpec | None) -> Iterator[CloudAsset]:
        """Yield what ends in the id of the asset that ``tags`` name."""
        del like
        mine = tags.get(TAG_ASSET, "").rpartition("_")[2].lower()
        for asset in self.listed():
            if mine and asset.name.endswith(mine):
                yield _tagged(asset, tags)

    def read(self, cloud_id: str) -> CloudAsset | None:
        """Return it, None when it is not listed."""
        return next((asset for asset in self.listed() if asset.cloud_id == cloud_id), None)

    def attach(self, asset: CloudAsset, machine: str) -> None:
        """Refuse it."""
        del asset, machine
        raise CloudRefused(f"a {self.kind} is attached to nothing", field="machine")

    def detach(self, asset: CloudAsset, machine: str) -> None:
        """Do nothing: it is attached to nothing."""
        del asset, machine

    def is_exhausted(self, error: BaseHTTPError) -> bool:
        """Return whether the account has as many as it may."""
        return str(error.message).startswith(("TooMany", "LimitExceeded"))

    def _asset(self, cloud_id: str, **rest: Any) -> CloudAsset:
        return CloudAsset(kind=self.kind, cloud_id=cloud_id, **{"name": cloud_id, "status": _RUNNING, **rest})


class S3Containers(NamedShelf):
    """Buckets. Only an empty one is destroyed: what is in it is not ours to lose."""

    kind = AssetKind.CONTAINER
    capability = Capability.CONTAINER
    request = "list buckets"

    def listed(self) -> Iterator[CloudAsset]:
        """Yield every bucket of the account."""
        for container in self.driver.iterate_containers():
            yield self._asset(identifier(container.name))

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make the bucket; one that the account has by this name is the one."""
        try:
            self.driver.create_container(spec.name)
        except ContainerAlreadyExistsError:
            if self.read(spec.name) is None:
                raise CloudRefused("this name is taken by somebody else", field="name") from None
        return self._asset(spec.name, tags=dict(spec.tags))

    def destroy(self, asset: CloudAsset) -> None:
        """Destroy the bucket, if it is empty."""
        try:
            self.driver.delete_container(self.driver.get_container(asset.cloud_id))
        except ContainerDoesNotExistError:
            return
        except ContainerIsNotEmptyError:
            raise CloudRefused("the container is not empty", fix="delete what is in it first") from None


class ElbBalancers(NamedShelf):
    """Classic load balancers: one port, to one port of the machines that are its members."""

    kind = AssetKind.BALANCER
    capability = Capability.BALANCER
    request = "DescribeLoadBalancers"

    def listed(self) -> Iterator[CloudAsset]:
        """Yield every balancer of the account in its region."""
        marker = ""
        for _page in range(PAGES_LIMIT):
            asked = {"Action": "DescribeLoadBalancers", **({"Marker": marker} if marker else {})}
            root = self._ask(asked)
            for element in root.iterfind("{*}DescribeLoadBalancersResult/{*}LoadBalancerDescriptions/{*}member"):
                yield self._told(element)
            marker = root.findtext("{*}DescribeLoadBalancersResult/{*}NextMarker") or ""
            if not marker:
                return
        raise CloudMisbehaved("the pages of the cloud's list do not end")

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make the balancer. The same asked for again makes no second: its name is its id."""
        port = spec.options["port"]
        asked = {
            "Action": "CreateLoadBalancer",
            "LoadBalancerName": elb_name(spec.name),
            "Listeners.member.1.LoadBalancerPort": port,
            "Listeners.member.1.InstancePort": spec.options.get("machine_port", port),
            "Listeners.member.1.Protocol": "TCP",
            "Listeners.member.1.InstanceProtocol": "TCP",
            "AvailabilityZones.member.1": spec.location or f"{self.driver.region}a",
        }
        try:
            told = self._ask(asked).findtext("{*}CreateLoadBalancerResult/{*}DNSName") or ""
        except BaseHTTPError as error:
            known = self.read(elb_name(spec.name)) if "Duplicate" in str(error.message) else None
            if known is None:
                raise
            return _tagged(known, spec.tags)
        facts = {"address": self.clean(told, 255)} if told else {}
        return self._asset(elb_name(spec.name), tags=dict(spec.tags), facts=facts)

    def destroy(self, asset: CloudAsset) -> None:
        """Destroy the balancer; its members stay."""
        self._ask({"Action": "DeleteLoadBalancer", "LoadBalancerName": asset.cloud_id})

    def attach(self, asset: CloudAsset, machine: str) -> None:
        """Make the machine a member."""
        self._member("RegisterInstancesWithLoadBalancer", asset, machine)

    def detach(self, asset: CloudAsset, machine: str) -> None:
        """Make it a member no more."""
        self._member("DeregisterInstancesFromLoadBalancer", asset, machine)

    def _member(self, action: str, asset: CloudAsset, machine: str) -> None:
        asked = {"LoadBalancerName": asset.cloud_id, "Instances.member.1.InstanceId": identifier(machine)}
        self._ask({"Action": action, **asked})

    def _told(self, element: Any) -> CloudAsset:
        address = element.findtext("{*}DNSName") or ""
        members = element.iterfind("{*}Instances/{*}member/{*}InstanceId")
        return self._asset(
            identifier(element.findtext("{*}LoadBalancerName")),
            facts={"address": self.clean(address, 255)} if address else {},
            machines=tuple(identifier(each.text) for each in members),
        )

    def _ask(self, params: Mapping[str, str]) -> Any:
        with patience():
            return self.driver.connection.request("/", params=dict(params)).object


class Route53Zones(NamedShelf):
    """Hosted zones. The asset's id is the caller's reference, so that asking again makes no second."""

    kind = AssetKind.ZONE
    capability = Capability.ZONE
    request = "ListHostedZones"

    def listed(self) -> Iterator[CloudAsset]:
        """Yield every zone of the account."""
        marker = ""
        for _page in range(PAGES_LIMIT):
            root = _route53(self.driver, "/hostedzone", params={"marker": marker} if marker else {})
            for element in root.iterfind("{*}HostedZones/{*}HostedZone"):
                yield self._told(element)
            if root.findtext("{*}IsTruncated") != "true":
                return
            marker = root.findtext("{*}NextMarker") or ""
        raise CloudMisbehaved("the pages of the cloud's list do not end")

    def find(self, tags: Mapping[str, str], like: AssetSpec | None) -> Iterator[CloudAsset]:
        """Yield the zone whose reference is the asset's id."""
        del like
        for asset in self.listed():
            if asset.tags.get(TAG_ASSET) == tags.get(TAG_ASSET):
                yield _tagged(asset, tags)

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Make the zone of the domain; what was made by the same reference is the one."""
        wanted = ET.Element("CreateHostedZoneRequest", {"xmlns": _xmlns()})
        ET.SubElement(wanted, "Name").text = spec.options["domain"]
        ET.SubElement(wanted, "CallerReference").text = spec.tags[TAG_ASSET]
        try:
            root = _route53(self.driver, "/hostedzone", method="POST", body=wanted)
        except BaseHTTPError as error:
            known = next(self.find(spec.tags, spec), None) if "AlreadyExists" in str(error.message) else None
            if known is None:
                raise
            return known
        element = root.find("{*}HostedZone")
        if element is None:
            raise CloudMisbehaved("the cloud's answer holds no zone")
        servers = [each.text or "" for each in root.iterfind("{*}DelegationSet/{*}NameServers/{*}NameServer")]
        made = _tagged(self._told(element), spec.tags)
        facts = {**made.facts, "name_servers": self.clean(" ".join(servers), 255)}
        return CloudAsset(
            kind=made.kind, cloud_id=made.cloud_id, name=made.name, status=made.status, tags=made.tags, facts=facts
        )

    def destroy(self, asset: CloudAsset) -> None:
        """Destroy the zone, if nothing but what it began with is in it."""
        try:
            _route53(self.driver, f"/hostedzone/{asset.cloud_id}", method="DELETE")
        except BaseHTTPError as error:
            if error.code != _NOT_FOUND:
                raise

    def _told(self, element: Any) -> CloudAsset:
        reference = element.findtext("{*}CallerReference") or ""
        domain = (element.findtext("{*}Name") or "").rstrip(".")
        return self._asset(
            identifier((element.findtext("{*}Id") or "").rpartition("/")[2]),
            name=self.clean(domain, 255),
            tags={TAG_ASSET: tag_text(reference)},
            facts={"domain": self.clean(domain, 255)},
        )


class Route53Records(NamedShelf):
    """Records of zones: known by zone, type and host name; asked for by UPSERT, so that asking again is harmless."""

    kind = AssetKind.RECORD
    capability = Capability.ZONE
    request = "ListHostedZones"

    def listed(self) -> Iterator[CloudAsset]:
        """Yield the zones, which is asked to prove that the account may look."""
        return Route53Zones(self.driver, self.clean).listed()

    def find(self, tags: Mapping[str, str], like: AssetSpec | None) -> Iterator[CloudAsset]:
        """Yield the record that has the name, type and value of ``like``: a record has nothing else to be known by."""
        # Without options nothing is known of it but its id: whoever destroys it then reads it by that.
        found = None if like is None or not like.options else self.read(_record_id(like))
        if found is not None:
            yield _tagged(found, tags)

    def create(self, spec: AssetSpec) -> CloudAsset:
        """Let the name have this value, and no other of its type."""
        cloud_id = _record_id(spec)
        self._change("UPSERT", cloud_id)
        facts = {name: spec.options[name] for name in ("host", "type")}
        return self._asset(cloud_id, name=spec.options["host"], tags=dict(spec.tags), facts=facts)

    def read(self, cloud_id: str) -> CloudAsset | None:
        """Return the record if it has the value that it was given."""
        zone, kind, host, _ttl, value = _parts(cloud_id)
        asked = {"name": f"{host}.", "type": kind, "maxitems": "1"}
        try:
            root = _route53(self.driver, f"/hostedzone/{zone}/rrset", params=asked)
        except BaseHTTPError as error:
            if error.code != _NOT_FOUND:
                raise
            return None
        for element in root.iterfind("{*}ResourceRecordSets/{*}ResourceRecordSet"):
            name = (element.findtext("{*}Name") or "").rstrip(".")
            values = [each.text for each in element.iterfind("{*}ResourceRecords/{*}ResourceRecord/{*}Value")]
            if (name, element.findtext("{*}Type"), values) == (host, kind, [value]):
                return self._asset(cloud_id, name=host, facts={"host": host, "type": kind})
        return None

    def destroy(self, asset: CloudAsset) -> None:
        """Delete it, as it was given."""
        self._change("DELETE", asset.cloud_id)

    def _change(self, action: str, cloud_id: str) -> None:
        zone, kind, host, ttl, value = _parts(cloud_id)
        wanted = ET.Element("ChangeResourceRecordSetsRequest", {"xmlns": _xmlns()})
        change = ET.SubElement(ET.SubElement(ET.SubElement(wanted, "ChangeBatch"), "Changes"), "Change")
        ET.SubElement(change, "Action").text = action
        record = ET.SubElement(change, "ResourceRecordSet")
        for name, text in (("Name", f"{host}."), ("Type", kind), ("TTL", ttl)):
            ET.SubElement(record, name).text = text
        values = ET.SubElement(record, "ResourceRecords")
        ET.SubElement(ET.SubElement(values, "ResourceRecord"), "Value").text = value
        _route53(self.driver, f"/hostedzone/{zone}/rrset", method="POST", body=wanted)


def elb_name(name: str) -> str:
    """Return ``name`` as a classic balancer's: at most 32 characters, of which the asset's id is the last 26."""
    wanted, _, unique = name.rpartition("-")
    return f"{re.sub(r'-+$', '', wanted[:5])}-{unique}"


def _record_id(spec: AssetSpec) -> str:
    return "|".join([str(spec.parent), *(spec.options[name] for name in ("type", "host", "ttl", "value"))])


def _parts(cloud_id: str) -> list[str]:
    parts = cloud_id.split("|", 4)
    if len(parts) != 5:  # noqa: PLR2004 - as _change needs them
        raise CloudRefused("this is no record's id")
    return parts


def _route53(
    driver: Any, path: str, *, method: str = "GET", params: Mapping[str, str] | None = None, body: Any = None
) -> Any:
    data = None if body is None else ET.tostring(body, encoding="unicode")
    at = f"/{ROUTE53_VERSION}{path}"
    with patience():
        return driver.connection.request(at, params=dict(params or {}), method=method, data=data).object


def _xmlns() -> str:
    return f"https://route53.amazonaws.com/doc/{ROUTE53_VERSION}/"


def _tagged(asset: CloudAsset, tags: Mapping[str, str]) -> CloudAsset:
    """Return ``asset`` as one that carries ``tags``: what it was known by says that it is ours."""
    return CloudAsset(
        kind=asset.kind, cloud_id=asset.cloud_id, name=asset.name, status=asset.status, tags=dict(tags),
        facts=asset.facts, machines=asset.machines,
    )  # fmt: skip
