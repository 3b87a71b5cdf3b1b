"""Facts about providers that libcloud knows and that no file of their own speaks for. No libcloud is imported here.

``host`` "" means that libcloud's driver goes where the platform's API endpoint says; else it goes to ``host`` and
nowhere else, which is then what an admin must have approved. Whatever a driver does, it is dialled by the platform's
route or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from catalog.messages.handshake import Capability

_C = Capability
_MACHINES: Final = (_C.MACHINE, _C.IMAGE, _C.SIZE)
_PLACED: Final = (*_MACHINES, _C.LOCATION)
_ALL: Final = (*_PLACED, _C.KEY_PAIR, _C.VOLUME)


class Shape(StrEnum):
    """How libcloud's driver is told who logs in."""

    PAIR = "pair"  # account and secret
    TOKEN = "token"  # noqa: S105 - a shape; the secret alone, the account is a name for people


@dataclass(frozen=True, slots=True, kw_only=True)
class LibcloudFacts:
    """One provider. ``asked`` is the list that is read to prove a log-in: some others are made up by libcloud."""

    title: str
    capabilities: tuple[Capability, ...] = _ALL
    asked: Capability = _C.LOCATION
    shape: Shape = Shape.PAIR
    host: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)  # option -> what it means; passed on by its own name
    # Module and class under which machines are made; none: lists are all. It is exercised against an emulated server.
    maker: tuple[str, str] | None = None
    note: str = ""  # what else to know before enrolling one
    lists_only: str = ""  # why no machines are made, where none are


# Why no machines are made: each is read from libcloud's driver of the provider, and held by a test where it can be.
_UNMARKED: Final = "libcloud's creation takes no mark by which a machine is found again"
_FIRST_PAGE: Final = "libcloud reads the first page of its machines and no more, so that one could be missed"
_IN_STEPS: Final = (
    "libcloud makes a machine there by several calls, and one that was begun is not told from a whole one"
)
_AS_CLOUDSTACK: Final = (
    "enrol it as cloudstack, with its host and path: libcloud's own driver reads the first page only"
)
_NOT_BUILT: Final = "not built yet"

_PATH: Final = {"path": "the path of its API, such as /client/api"}

ACCEPTED: Final[Mapping[str, LibcloudFacts]] = {
    "aliyun_ecs": LibcloudFacts(title="Alibaba Cloud ECS", capabilities=(*_PLACED, _C.VOLUME), lists_only=_IN_STEPS),
    "aurora_compute": LibcloudFacts(
        title="PCextreme AuroraCompute", host="api.auroracompute.eu",
        lists_only=_AS_CLOUDSTACK,
    ),
    "brightbox": LibcloudFacts(title="Brightbox", capabilities=_PLACED, lists_only=_UNMARKED),
    "cloudscale": LibcloudFacts(
        title="cloudscale.ch", capabilities=_MACHINES, asked=_C.SIZE, shape=Shape.TOKEN, host="api.cloudscale.ch",
        lists_only="its API keeps no key pairs that an order could name",
    ),
    "cloudsigma": LibcloudFacts(
        title="CloudSigma", capabilities=(*_MACHINES, _C.KEY_PAIR, _C.VOLUME), asked=_C.IMAGE,
        arguments={"api_version": "2.0"},
        lists_only=_IN_STEPS,
    ),
    "cloudstack": LibcloudFacts(
        title="Apache CloudStack", options=_PATH,
        maker=("drivers.clouds.cloudstack", "CloudStackCloud"),
        note="the enrolment's region is a zone, by id or name; machines get the zone's default network",
    ),
    "digitalocean": LibcloudFacts(
        title="DigitalOcean", shape=Shape.TOKEN, host="api.digitalocean.com", arguments={"api_version": "v2"},
        maker=("drivers.clouds.digitalocean", "DigitalOceanCloud"),
        note="what a token may do is told by the first creation only; a stop is a graceful shutdown; "
        "the enrolment's region is where machines are made unless an order says",
    ),
    "dimensiondata": LibcloudFacts(
        title="Dimension Data", capabilities=_PLACED, host="api-na.dimensiondata.com",
        lists_only=_NOT_BUILT,
    ),
    "equinixmetal": LibcloudFacts(
        title="Equinix Metal", capabilities=(*_PLACED, _C.KEY_PAIR), shape=Shape.TOKEN, host="api.equinix.com",
        lists_only=_NOT_BUILT,
    ),
    "eucalyptus": LibcloudFacts(title="Eucalyptus", asked=_C.SIZE, lists_only=_FIRST_PAGE),
    "exoscale": LibcloudFacts(
        title="Exoscale (CloudStack API)",
        lists_only="its provider calls this API deprecated, and libcloud reads the first page of its machines only",
    ),
    "gandi": LibcloudFacts(title="Gandi", shape=Shape.TOKEN, host="rpc.gandi.net", lists_only=_UNMARKED),
    "gridscale": LibcloudFacts(
        title="gridscale", capabilities=(_C.MACHINE, _C.IMAGE, *_ALL[3:]),
        lists_only=_IN_STEPS,
    ),
    "ikoula": LibcloudFacts(title="Ikoula", lists_only=_AS_CLOUDSTACK),
    "internetsolutions": LibcloudFacts(
        title="Internet Solutions", capabilities=_PLACED, host="meaapi.cloud.is.co.za",
        lists_only=_NOT_BUILT,
    ),
    "kamatera": LibcloudFacts(title="Kamatera", capabilities=_PLACED, lists_only=_UNMARKED),
    "ktucloud": LibcloudFacts(title="KT ucloud", options=_PATH, lists_only=_FIRST_PAGE),
    "linode": LibcloudFacts(
        title="Linode (Akamai)", shape=Shape.TOKEN, host="api.linode.com", arguments={"api_version": "4.0"},
        maker=("drivers.clouds.linode", "LinodeCloud"),
        note="root's password is made up and forgotten: order a key pair; names have 64 characters at most",
    ),
    "maxihost": LibcloudFacts(
        title="Maxihost", capabilities=(*_PLACED, _C.KEY_PAIR), shape=Shape.TOKEN, host="api.maxihost.com",
        lists_only=_UNMARKED,
    ),
    "nimbus": LibcloudFacts(title="Nimbus", lists_only=_FIRST_PAGE),
    "ntta": LibcloudFacts(
        title="NTT America", capabilities=_PLACED, host="cloudapi.nttamerica.com",
        lists_only=_NOT_BUILT,
    ),
    "nttcis": LibcloudFacts(
        title="NTT CIS", capabilities=_PLACED, host="api-na.dimensiondata.com",
        lists_only=_NOT_BUILT,
    ),
    "onapp": LibcloudFacts(
        title="OnApp", capabilities=(_C.MACHINE, _C.IMAGE, _C.KEY_PAIR), asked=_C.IMAGE,
        lists_only=_NOT_BUILT,
    ),
    "opennebula": LibcloudFacts(title="OpenNebula (OCCI)", capabilities=_PLACED, asked=_C.SIZE, lists_only=_UNMARKED),
    "outscale_inc": LibcloudFacts(title="Outscale Inc. (EC2 API)", lists_only=_FIRST_PAGE),
    "outscale_sas": LibcloudFacts(title="Outscale SAS (EC2 API)", lists_only=_FIRST_PAGE),
    "rackspace": LibcloudFacts(
        title="Rackspace Cloud", asked=_C.SIZE, host="identity.api.rackspacecloud.com",
        lists_only=_NOT_BUILT,
    ),
    "rackspace_first_gen": LibcloudFacts(
        title="Rackspace Cloud, first generation", capabilities=(*_PLACED, _C.VOLUME), asked=_C.SIZE,
        host="identity.api.rackspacecloud.com",
        lists_only=_NOT_BUILT,
    ),
    "rimuhosting": LibcloudFacts(
        title="RimuHosting", capabilities=_PLACED, asked=_C.SIZE, shape=Shape.TOKEN, host="rimuhosting.com",
        lists_only=_UNMARKED,
    ),
    "scaleway": LibcloudFacts(title="Scaleway", asked=_C.SIZE, lists_only=_IN_STEPS),
    "terremark": LibcloudFacts(
        title="Terremark vCloud Express", capabilities=_PLACED, asked=_C.IMAGE,
        lists_only=_UNMARKED,
    ),
    "upcloud": LibcloudFacts(title="UpCloud", capabilities=_PLACED, lists_only=_UNMARKED),
    "vcloud": LibcloudFacts(title="VMware vCloud", capabilities=_MACHINES, asked=_C.IMAGE, lists_only=_UNMARKED),
    "vultr": LibcloudFacts(
        title="Vultr", shape=Shape.TOKEN, host="api.vultr.com", arguments={"api_version": "2"},
        maker=("drivers.clouds.vultr", "VultrCloud"),
        note="instances only: bare metal is listed among the sizes and never made",
    ),
}  # fmt: skip

# libcloud's other compute providers: title and why none is accepted.
REFUSED: Final[Mapping[str, tuple[str, str]]] = {
    "abiquo": ("Abiquo", "libcloud's driver logs in while it is built, before anything says that it may"),
    "azure": ("Azure, classic", "it logs in with a certificate file on the gateway's disk"),
    "azure_arm": ("Azure", "it logs in at login.microsoftonline.com with four secrets, and while it is built"),
    "gce": ("Google Compute Engine", "libcloud's driver asks the metadata address of its own host, past any tunnel"),
    "gig_g8": ("GiG G8", "libcloud's driver calls the network past the routed dial"),
    "kubevirt": ("KubeVirt", "libcloud's driver wants its authority from a file on the gateway's disk"),
    "libvirt": ("libvirt", "it speaks no HTTP, so that no routed dial can carry it"),
    "outscale": ("Outscale (its own API)", "libcloud's driver calls the network past the routed dial"),
    "ovh": ("OVHcloud", "it needs a third secret, the consumer key, which no enrolment holds"),
    "vcl": ("Apache VCL", "libcloud's driver goes to 127.0.0.1, whatever host it is given"),
    "vpsnet": ("VPS.net", "libcloud's driver takes a refused log-in for an empty list"),
    "vsphere": ("VMware vSphere", "it speaks through pyVmomi, which no routed dial can carry"),
}
