"""One OpenStack for the whole run, and a connected world before it for each module that asks for one."""

from collections.abc import Iterator

import pytest

from tests.support.openstack_world import OpenStack, openstack, openstack_world
from tests.support.small_world import SmallWorld


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStack]:
    """Return a whole OpenStack, which takes a minute or two to come up."""
    with openstack(tmp_path_factory.mktemp("openstack")) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def world(cloud: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """Return a world whose platform is a project of the cloud: enrolled, connected, everything granted and accepted."""
    with openstack_world(tmp_path_factory.mktemp("world"), cloud) as world:
        yield world
