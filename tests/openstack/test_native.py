"""The openstack command itself, in a passage to a whole OpenStack: for what is granted, and for nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.clouds import CLIENTS
from tests.support.openstack_cloud.seeding import IMAGES, PASSWORD, SIZES
from tests.support.openstack_world import PATIENCE_S, OpenStack, Shopper, openstack_world
from tests.support.small_world import PLATFORM, ROOT, SmallWorld
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def world(cloud: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    """Return the world with a gateway that listens on TCP, which the openstack command has to call."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CROSSWAY_API__LISTEN", "127.0.0.1:0")
        with openstack_world(tmp_path_factory.mktemp("native"), cloud) as world:
            yield world


@pytest.fixture(scope="module")
def shopper(world: SmallWorld) -> Shopper:
    """Return somebody who orders."""
    return Shopper(client=world.tenant("acme"))


def in_passage(world: SmallWorld, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a passage to the platform, as its owner, whose environment has nothing of the cloud's."""
    environment = {
        "PATH": f"{CLIENTS}:{os.environ['PATH']}", "HOME": "/nonexistent", "CROSSWAY_SERVER": world.server,
        "CROSSWAY_TOKEN": world.platform_token,
    }  # fmt: skip
    words = [sys.executable, "-m", "gateway", "connect", PLATFORM, "--", *command]
    return subprocess.run(
        words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def listed(world: SmallWorld, noun: str) -> set[str]:
    """Return the names that ``openstack NOUN list`` shows."""
    done = in_passage(world, "openstack", noun, "list", "-f", "json")
    assert done.returncode == 0, done.stderr
    return {each["Name"] for each in json.loads(done.stdout)}


def test_sizes_images_and_servers_are_listed(world: SmallWorld, shopper: Shopper) -> None:
    """What the command lists is what the cloud has, the machine that was ordered among it."""
    machine = shopper.machine(shopper.order())
    assert listed(world, "flavor") == set(SIZES)
    assert listed(world, "image") == set(IMAGES)
    assert listed(world, "server") == {machine["name"]}


def test_a_server_is_stopped_and_deleted_by_its_name(world: SmallWorld, cloud: OpenStack, shopper: Shopper) -> None:
    """Nova does what was asked; nothing of the cloud's own credentials is in the command's environment."""
    (machine,) = [each for each in shopper.client.machines.list() if each["state"] == "in-use"]
    stopped = in_passage(world, "openstack", "server", "stop", machine["name"])
    assert (stopped.returncode, stopped.stderr) == (0, "")
    wait_until(lambda: cloud.servers()[0]["status"] == "SHUTOFF", "the server has stopped", patience_s=PATIENCE_S)
    shown = in_passage(world, "env")
    assert "OS_AUTH_URL" in shown.stdout
    assert PASSWORD not in shown.stdout
    deleted = in_passage(world, "openstack", "server", "delete", "--wait", machine["name"])
    assert deleted.returncode == 0, deleted.stderr
    assert cloud.servers() == []


def test_what_no_capability_covers_is_refused(world: SmallWorld) -> None:
    """Neutron has no endpoint that an admin approved, and networks are nobody's to grant yet."""
    refused = in_passage(world, "openstack", "network", "list")
    assert refused.returncode != 0
    assert "no capability covers" in refused.stderr
