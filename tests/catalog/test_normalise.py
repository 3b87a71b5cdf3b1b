"""What clouds name their sizes and images becomes comparable facts, or stays unknown."""

import pytest

from catalog import normalise
from catalog.clouds import CloudItem, CloudSize
from catalog.normalise import Normalised

X86, ARM = "x86_64", "arm64"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20240501", ("ubuntu", "22.04", X86)),
        ("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20240423", ("ubuntu", "24.04", ARM)),
        ("Ubuntu 22.04 LTS (Jammy Jellyfish)", ("ubuntu", "22.04", None)),
        ("ubuntu focal minimal", ("ubuntu", "20.04", None)),
        ("Deep Learning AMI GPU PyTorch 2.2.0 (Ubuntu 20.04) 20240717", ("ubuntu", "20.04", None)),
        ("debian-12-amd64-20240507-1740", ("debian", "12", X86)),
        ("debian-12-generic-arm64", ("debian", "12", ARM)),
        ("Debian 11 (bullseye)", ("debian", "11", None)),
        ("Debian bookworm x86_64", ("debian", "12", X86)),
        ("Debian GNU/Linux 10", ("debian", "10", None)),
        ("debian-20240507", ("debian", None, None)),
        ("al2023-ami-2023.4.20240513.0-kernel-6.1-x86_64", ("amazon-linux", "2023", X86)),
        ("amzn2-ami-kernel-5.10-hvm-2.0.20240503.0-arm64-gp2", ("amazon-linux", "2", ARM)),
        ("RHEL-9.4.0_HVM-20240423-x86_64-62-Hourly2-GP3", ("rhel", "9.4", X86)),
        ("CentOS Stream 9 x86_64 20240513", ("centos-stream", "9", X86)),
        ("CentOS-7-x86_64-GenericCloud-2009", ("centos", "7", X86)),
        ("Rocky Linux 9.3", ("rocky", "9.3", None)),
        ("AlmaLinux OS 9.4.20240507 x86_64", ("almalinux", "9.4", X86)),
        ("Fedora-Cloud-Base-AmazonEC2.x86_64-40-1.14", ("fedora", "40", X86)),
        ("suse-sles-15-sp5-v20240129-hvm-ssd-x86_64", ("sles", "15.5", X86)),
        ("openSUSE-Leap-15.5.x86_64", ("opensuse-leap", "15.5", X86)),
        ("FreeBSD 14.0-RELEASE-amd64 UFS", ("freebsd", "14.0", X86)),
        ("Flatcar-stable-3815.2.2-hvm", ("flatcar", "3815.2", None)),
        ("cirros-0.6.2-aarch64-disk", ("cirros", "0.6", ARM)),
        ("Windows_Server-2022-English-Full-Base-2024.05.15", ("windows", "2022", None)),
        ("windows-server-2019-standard", ("windows", "2019", None)),
        ("snapshot of web-3, 12 May", (None, None, None)),
        ("debian-to-ubuntu-migration", (None, None, None)),
        ("multi x86_64 arm64 debian 12", ("debian", "12", None)),
        ("mydebianish 12", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_images(name: str, expected: tuple[str | None, str | None, str | None]) -> None:
    """Family, version and architecture are what the name says outright; dates and builds are no versions."""
    found = normalise.image(CloudItem(cloud_id="i", name=name))
    assert (found.os_family, found.os_version, found.architecture) == expected


@pytest.mark.parametrize(
    ("provider", "name", "architecture", "gpu_count"),
    [
        ("ec2", "t3.micro", X86, 0),
        ("ec2", "m7i-flex.large", X86, 0),
        ("ec2", "m6a.2xlarge", X86, 0),
        ("ec2", "t4g.nano", ARM, 0),
        ("ec2", "c7gn.16xlarge", ARM, 0),
        ("ec2", "a1.medium", ARM, None),
        ("ec2", "p4d.24xlarge", X86, 8),
        ("ec2", "p3.8xlarge", X86, 4),
        ("ec2", "g5.12xlarge", X86, 4),
        ("ec2", "g5.99xlarge", X86, None),
        ("ec2", "g5g.xlarge", ARM, None),
        ("ec2", "inf2.xlarge", None, None),
        ("ec2", "mac2.metal", None, None),
        ("openstack", "m1.small", None, None),
        ("openstack", "t4g.nano", None, None),
        ("openstack", "gpu.large", None, None),
        ("openstack", "c4.arm64.large", ARM, None),
        ("openstack", "b2 x86_64", X86, None),
    ],
)
def test_sizes_by_name(provider: str, name: str, architecture: str | None, gpu_count: int | None) -> None:
    """EC2's grammar counts at EC2 alone; elsewhere only an architecture that is spelled out does."""
    told = CloudSize(cloud_id=name, name=name, vcpu=2, memory_mib=1024, disk_gib=8)
    found = normalise.size(provider, told)
    assert (found.architecture, found.gpu_count) == (architecture, gpu_count)


def test_sizes_in_numbers() -> None:
    """1,536 MiB are 1.5 GiB; halves of a vCPU stay halves."""
    told = CloudSize(cloud_id="f", name="f", vcpu=0.5, memory_mib=1536, disk_gib=20)
    assert normalise.size("openstack", told) == Normalised(vcpu=0.5, memory_gib=1.5, disk_gib=20.0)


def test_what_is_not_told_is_unknown() -> None:
    """None and 0 are both "not told"."""
    assert normalise.size("ec2", CloudSize(cloud_id="?", name="?", vcpu=None, memory_mib=0, disk_gib=None)) == (
        normalise.size("ec2", CloudSize(cloud_id="?", name="?", vcpu=0, memory_mib=0, disk_gib=0))
    )
    assert normalise.size("ec2", CloudSize(cloud_id="?", name="?", vcpu=0, memory_mib=0, disk_gib=0)) == Normalised()


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        pytest.param("web-7", {"architecture": "aarch64"}, (None, None, ARM), id="architecture"),
        pytest.param(
            "golden", {"os_family": "ubuntu", "os_version": "22.04"}, ("ubuntu", "22.04", None), id="all by properties"
        ),
        pytest.param("debian-12", {"os_family": "rocky"}, ("rocky", None, None), id="a property goes before the name"),
        pytest.param("debian-12", {"os_family": "debian"}, ("debian", "12", None), id="the name completes it"),
        pytest.param("debian-12", {"os_family": "hand-made"}, ("debian", "12", None), id="an unknown family"),
        pytest.param("debian-12", {"os_version": "sid/now"}, ("debian", "12", None), id="no version"),
        pytest.param("base", {"os_family": "Windows"}, ("windows", None, None), id="EC2's word"),
        pytest.param("base", {"os_version": "12"}, (None, None, None), id="a version of nothing"),
    ],
)
def test_an_image_by_its_properties(
    name: str, said: dict[str, str], expected: tuple[str | None, str | None, str | None]
) -> None:
    """What the cloud says outright goes before what the name says."""
    found = normalise.image(CloudItem(cloud_id="i", name=name, facts=said))
    assert (found.os_family, found.os_version, found.architecture) == expected


def test_a_size_as_the_cloud_describes_it() -> None:
    """Processors and GPUs that the cloud tells go before what its name would; two processors are none."""
    told = CloudSize(
        cloud_id="inf2.xlarge", name="inf2.xlarge", vcpu=4, memory_mib=1024, disk_gib=None, architecture="x86_64",
        gpu_count=2,
    )  # fmt: skip
    found = normalise.size("ec2", told)
    assert (found.architecture, found.gpu_count) == (X86, 2)
    both = CloudSize(cloud_id="x", name="x", vcpu=4, memory_mib=1, disk_gib=None, architecture="arm64 x86_64")
    assert normalise.size("openstack", both).architecture is None
