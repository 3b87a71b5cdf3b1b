"""Providers' APIs as their documentation describes them, with a state: what is made is listed until it is gone."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.support.emulated.cloudstack import CloudStack
from tests.support.emulated.digitalocean import DigitalOcean
from tests.support.emulated.linode import Linode
from tests.support.emulated.serving import Emulator
from tests.support.emulated.vultr import Vultr

EMULATORS: Final[Mapping[str, Callable[[], Emulator]]] = {
    kind.provider: kind for kind in (CloudStack, DigitalOcean, Linode, Vultr)
}
# Of each one the size that has 1,024 MiB, and an image.
SIZES: Final[Mapping[str, str]] = {
    "cloudstack": "3c0a0f6c-0000-4000-8000-000000000001",
    "digitalocean": "s-1vcpu-1gb",
    "linode": "g6-nanode-1",
    "vultr": "vc2-1c-1gb",
}
IMAGES: Final[Mapping[str, str]] = {
    "cloudstack": "7e1f0f6c-0000-4000-8000-000000000001",
    "digitalocean": "110001",
    "linode": "linode/debian12",
    "vultr": "2136",
}
