"""Providers' APIs as their documentation describes them, with a state: what is made is listed until it is gone."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.support.emulated.digitalocean import DigitalOcean
from tests.support.emulated.linode import Linode
from tests.support.emulated.serving import Emulator
from tests.support.emulated.vultr import Vultr

EMULATORS: Final[Mapping[str, Callable[[], Emulator]]] = {kind.provider: kind for kind in (DigitalOcean, Linode, Vultr)}
