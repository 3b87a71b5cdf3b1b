"""What a cloud's sizes and images are, in one vocabulary, read from what it names them. Unknown stays unknown.

Pure. What a cloud says of a thing outright (an image's property, an instance type's description) goes before what its
name says. A name is believed only where it says something outright or where the provider defines what it means: EC2's
names of instance types are a grammar, an OpenStack flavour may be called anything. A name that tells two things at
once tells nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

from catalog.clouds import CloudItem, CloudSize

_MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """The facts that can be compared across clouds; None is unknown. Images have no numbers, sizes no system."""

    vcpu: float | None = None
    memory_gib: float | None = None
    disk_gib: float | None = None
    gpu_count: int | None = None
    architecture: str | None = None  # "x86_64", "arm64", "i386", "ppc64le" or "s390x"
    os_family: str | None = None  # such as "debian", "ubuntu", "rhel", "windows"
    os_version: str | None = None  # major, or major.minor where the name says so: "12", "22.04", "9.4"


def size(provider: str, told: CloudSize) -> Normalised:
    """Return what ``told`` is at a cloud of ``provider`` (a key of the driver registry).

    A number of 0 is unknown: clouds say 0 for a disk that comes with the image and for what they do not tell.
    """
    on_ec2 = _EC2_TYPE.fullmatch(told.cloud_id) if provider == "ec2" else None
    named = _architecture(_plain(told.name)) if on_ec2 is None else _ec2_architecture(on_ec2)
    counted = None if on_ec2 is None else _ec2_gpu_count(on_ec2)
    return Normalised(
        vcpu=told.vcpu or None,
        memory_gib=told.memory_mib / _MIB_PER_GIB if told.memory_mib else None,
        disk_gib=float(told.disk_gib) if told.disk_gib else None,
        gpu_count=counted if told.gpu_count is None else told.gpu_count,
        architecture=_architecture(_plain(told.architecture or "")) or named,
    )


def image(told: CloudItem) -> Normalised:
    """Return what the image ``told`` holds: by its properties where the cloud keeps some, else from its name."""
    text = _plain(told.name)
    # Taken out first: the digits of "x86_64" are no version.
    family, version = _system(_ARCHITECTURE.sub("-", text))
    said = _plain(told.facts.get("os_family", ""))
    if said in _FAMILIES and said != family:
        # The name speaks of another system, so its version is none of this one's.
        family, version = said, None
    return Normalised(
        architecture=_architecture(_plain(told.facts.get("architecture", ""))) or _architecture(text),
        os_family=family,
        os_version=_version_said(family, told.facts.get("os_version", "")) or version,
    )


# Architectures as names spell them, after ``_plain``.
_SPELLINGS: Final = {
    "x86-64": "x86_64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "arm64": "arm64",
    "aarch64": "arm64",
    "i386": "i386",
    "i686": "i386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
_ARCHITECTURE: Final = re.compile(r"(?<![a-z0-9])(?:" + "|".join(_SPELLINGS) + r")(?![a-z0-9])")

# EC2: family, generation, attributes (the processor's letter first), size.
_EC2_TYPE: Final = re.compile(r"([a-z]+)(\d)([a-z]*)(?:-flex)?\.([a-z0-9-]+)")
_EC2_PLAIN: Final = frozenset({"t", "m", "c", "r", "i", "d", "x", "z", "h"})  # families without accelerators
_EC2_X86: Final = _EC2_PLAIN | {"g", "p"}
# As published per size; a size that is not listed is unknown, not extrapolated.
_EC2_SMALL_G: Final = {"xlarge": 1, "2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "16xlarge": 1, "12xlarge": 4}
_EC2_GPUS: Final = {
    "p2": {"xlarge": 1, "8xlarge": 8, "16xlarge": 16},
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"48xlarge": 8},
    "g4dn": {**_EC2_SMALL_G, "metal": 8},
    "g5": {**_EC2_SMALL_G, "24xlarge": 4, "48xlarge": 8},
    "g6": {**_EC2_SMALL_G, "24xlarge": 4, "48xlarge": 8},
}

_VERSION: Final = r"(\d{1,2}(?:\.\d{1,2})?)(?![\d])"  # not a date, not a build
_SAID_VERSION: Final = re.compile(r"\d{1,4}(?:\.\d{1,2})?")  # "12", "22.04", "2023"
_WORDS: Final = r"(?:[a-z][a-z0-9]*[-.]+)*?"  # what stands between a family and its version: "cloud-base-"
# family -> (how a name says it, how it says the version, code names)
_SYSTEMS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "ubuntu": (
        "ubuntu",
        rf"ubuntu-{_WORDS}(\d\d\.\d\d)(?!\d)",
        {"xenial": "16.04", "bionic": "18.04", "focal": "20.04", "jammy": "22.04", "noble": "24.04"},
    ),
    "debian": (
        "debian",
        rf"debian-(?:gnu-linux-)?{_VERSION}",
        {"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13"},
    ),
    "amazon-linux": ("amzn2?|al2023|amazon-linux", r"(?:amzn|al|amazon-linux-)(2023|2)(?!\d)", {}),
    "rhel": ("rhel|red-hat-enterprise-linux", rf"(?:rhel|red-hat-enterprise-linux)-?{_VERSION}", {}),
    "centos-stream": ("centos-stream", rf"centos-stream-{_VERSION}", {}),
    "centos": ("centos(?!-stream)", rf"centos-(?:linux-)?{_VERSION}", {}),
    "rocky": ("rocky", rf"rocky-(?:linux-)?{_VERSION}", {}),
    "almalinux": ("almalinux", rf"almalinux-(?:os-)?{_VERSION}", {}),
    "fedora": ("fedora", rf"fedora-{_WORDS}(\d\d)(?!\d)", {}),
    "sles": ("sles", r"sles-(\d\d)(?!\d)(?:-sp(\d)(?!\d))?", {}),
    "opensuse-leap": ("opensuse-leap", rf"opensuse-leap-{_VERSION}", {}),
    "freebsd": ("freebsd", rf"freebsd-{_VERSION}", {}),
    "flatcar": ("flatcar", r"flatcar-(?:[a-z]+-)?(\d{4}\.\d)(?!\d)", {}),
    "cirros": ("cirros", rf"cirros-{_VERSION}", {}),
    "windows": ("windows", r"windows-(?:server-)?(20\d\d)(?!\d)", {}),
}
_FAMILIES: Final = {
    family: (re.compile(rf"(?<![a-z0-9])(?:{said})(?![a-z])"), re.compile(rf"(?<![a-z0-9]){version}"), names)
    for family, (said, version, names) in _SYSTEMS.items()
}


def _plain(name: str) -> str:
    """Return ``name`` in lower case with one dash for every run of what only separates words."""
    return re.sub(r"[\s_/()\[\],:-]+", "-", name.lower()).strip("-")


def _architecture(text: str) -> str | None:
    return _only({_SPELLINGS[spelling] for spelling in _ARCHITECTURE.findall(text)})


def _system(text: str) -> tuple[str | None, str | None]:
    family = _only({family for family, (said, _, _) in _FAMILIES.items() if said.search(text)})
    if family is None:
        return None, None
    _, version, names = _FAMILIES[family]
    told = {".".join(filter(None, found.groups())) for found in version.finditer(text)}
    return family, _only(told or {names[word] for word in text.split("-") if word in names})


def _version_said(family: str | None, said: str) -> str | None:
    return said if family is not None and _SAID_VERSION.fullmatch(said) else None


def _only(told: set[str]) -> str | None:
    return next(iter(told)) if len(told) == 1 else None


def _ec2_architecture(parts: re.Match[str]) -> str | None:
    family, generation, attributes, _ = parts.groups()
    if attributes.startswith("g") or (family, generation) == ("a", "1"):
        return "arm64"
    return "x86_64" if family in _EC2_X86 else None


def _ec2_gpu_count(parts: re.Match[str]) -> int | None:
    family, generation, attributes, name = parts.groups()
    if family in _EC2_PLAIN:
        return 0
    return _EC2_GPUS.get(f"{family}{generation}{attributes}", {}).get(name)
