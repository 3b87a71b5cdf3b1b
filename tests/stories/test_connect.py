"""Native sessions: the clouds' own command lines through ``crossway connect``, at a real Keystone and at moto.

Real processes throughout: gateway, relays (sshd), connector, clouds, and the openstack and aws commands of PyPI. Nova
and Glance are emulated behind Keystone's catalog; see tests/support/openstack_process.py.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.support.clouds import CLIENTS, DEBIAN, REGION, SECRET, moto_cloud, openstack_cloud
from tests.support.openstack_process import PASSWORD, PROJECT, USER
from tests.support.openstack_process import REGION as OPENSTACK_REGION
from tests.support.small_world import PATIENCE_S, PLATFORM, ROOT, SmallWorld, small_world
from tests.support.waiting import wait_until

GRANTED = (
    '[policy.machine]\ndecision = "grant"\nverbs = ["list", "stop"]\n'
    '[policy.image]\ndecision = "grant"\n[policy.size]\ndecision = "grant"\n'
)
SERVICES = ("machine", "image", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A world whose platform's owner granted listing and stopping machines, images and sizes."""

    world: SmallWorld

    def environment(self, **more: str) -> dict[str, str]:
        """Return what the caller has: a token of the gateway's, and credentials for some cloud of its own."""
        mine = {
            "CROSSWAY_SERVER": self.world.server,
            "CROSSWAY_TOKEN": self.world.platform_token,
            "HOME": "/nonexistent",
        }
        foreign = dict.fromkeys(("OS_PASSWORD", "AWS_SECRET_ACCESS_KEY"), "of-another-cloud")
        return {"PATH": f"{CLIENTS}:{os.environ['PATH']}", **mine, **foreign, **more}

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start ``crossway connect PLATFORM -- COMMAND``."""
        return subprocess.Popen(
            [sys.executable, "-m", "gateway", "connect", PLATFORM, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=self.environment(),
        )

    def run(self, *command: str) -> Ended:
        """Run it to its end."""
        return ended(self.start(*command))

    def calls(self) -> list[Mapping[str, object]]:
        """Return the calls of the newest passage, newest first."""
        newest = list(self.world.platform.passages.list())[-1]
        return [dict(call) for call in self.world.platform.passages.calls(newest["id"])]

    def revoke(self, capability: str) -> None:
        """Take a grant back, as the platform's owner."""
        grants = self.world.platform.grants
        grants.revoke(next(each["id"] for each in grants.list() if each["capability"] == capability))


def ended(process: "subprocess.Popen[str]") -> Ended:
    """Wait for the end of a command."""
    out, error = process.communicate(timeout=3 * PATIENCE_S)
    return Ended(code=process.returncode, out=out, error=error)


def connect(world: SmallWorld, **enrolment: object) -> Connected:
    """Bring the world to where its platform is connected and its grants are accepted."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CROSSWAY_API__LISTEN", "127.0.0.1:0")
        world.start_gateway()
    world.declare_network()
    world.enrol(**enrolment)
    world.connect()
    wait_until(lambda: any(grant["state"] == "granted" for grant in world.admin.grants.list()), "grants are given")
    for grant in world.admin.grants.list(state="granted"):
        world.admin.grants.accept(grant["id"])
    return Connected(world=world)


@pytest.fixture(scope="module")
def openstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    """An OpenStack platform, connected."""
    folder = tmp_path_factory.mktemp("openstack")
    with small_world(folder, policy=GRANTED, services=SERVICES, running=openstack_cloud) as world:
        yield connect(world, account=USER, secret=PASSWORD, region=OPENSTACK_REGION, options={"project": PROJECT})


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connected]:
    """An EC2 platform, connected."""
    folder = tmp_path_factory.mktemp("ec2")
    with small_world(folder, policy=GRANTED, services=SERVICES, running=moto_cloud) as world:
        yield connect(world, region=REGION, options={"image_owner": DEBIAN})


def test_openstack_works_for_what_is_granted(openstack: Connected) -> None:
    """Servers are listed over two pages joined by links, one is stopped by its name, and every call is written down."""
    listed = openstack.run("openstack", "server", "list", "-f", "json")
    assert listed.code == 0, listed.error
    assert [server["Name"] for server in json.loads(listed.out)] == ["web-1", "web-2", "web-3"]
    called = openstack.calls()
    assert {(call["capability"], call["refused"]) for call in called} <= {
        ("", False),
        ("machine:list", False),
        ("image:list", False),
        ("size:list", False),
    }
    assert [call["status"] for call in called if call["what"] == "compute GET /v2.1/servers/detail"] == [200, 200]

    stopped = openstack.run("openstack", "server", "stop", "web-1")
    assert (stopped.code, stopped.error) == (0, "")
    assert "machine:stop" in {call["capability"] for call in openstack.calls()}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("server", "delete", "web-2"), "'destroy' of 'machine' is not granted by this platform"),
        (("network", "list"), "no capability covers network GET"),
    ],
)
def test_openstack_is_refused_what_is_not_granted(openstack: Connected, command: tuple[str, ...], said: str) -> None:
    """The openstack command itself says what was not granted, and the cloud never heard of it."""
    before = openstack.world.cloud.control("GET", "/_log")[1]
    refused = openstack.run("openstack", *command)
    assert refused.code == 1
    assert said in refused.error
    after = openstack.world.cloud.control("GET", "/_log")[1].replace(before.rstrip(b"]}"), b"")
    assert b"DELETE" not in after
    assert b"POST" not in after


def test_openstack_s_environment_works_nowhere_else(openstack: Connected) -> None:
    """The command has nothing of the cloud's, of its caller's or of the gateway's; its credential dies with it."""
    shown = openstack.run(sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    told = json.loads(shown.out)
    assert PASSWORD not in shown.out
    assert "of-another-cloud" not in shown.out
    assert openstack.world.platform_token not in shown.out
    credential = {"id": told["OS_APPLICATION_CREDENTIAL_ID"], "secret": told["OS_APPLICATION_CREDENTIAL_SECRET"]}
    log_in = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": credential}}}
    places = {
        f"http://{openstack.world.cloud.address}/v3": (404, b"Could not find Application Credential"),
        told["OS_AUTH_URL"]: (403, b"has ended: it was closed"),
    }
    for place, (status, said) in places.items():
        late = urllib.request.Request(f"{place}/auth/tokens", json.dumps(log_in).encode(), method="POST")
        late.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(late, timeout=PATIENCE_S)
        with refused.value as problem:
            assert (problem.code, said in problem.read()) == (status, True)


def test_ec2_works_for_what_is_granted(ec2: Connected) -> None:
    """Images and machines are listed by the aws command, with the account's signature at the cloud."""
    images = ec2.run("aws", "ec2", "describe-images", "--owners", DEBIAN, "--output", "json")
    assert images.code == 0, images.error
    assert json.loads(images.out)["Images"]
    machines = ec2.run("aws", "ec2", "describe-instances", "--output", "json")
    assert json.loads(machines.out) == {"Reservations": []}
    assert [(call["what"], call["status"]) for call in ec2.calls()] == [("ec2 DescribeInstances", 200)]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("ec2", "terminate-instances", "--instance-ids", "i-1"), "'destroy' of 'machine' is not granted"),
        (("ec2", "run-instances", "--image-id", "ami-1", "--count", "1"), "'create' of 'machine' is not granted"),
        (("iam", "list-users"), "the passage leads to EC2, not to iam"),
    ],
)
def test_ec2_is_refused_what_is_not_granted(ec2: Connected, command: tuple[str, ...], said: str) -> None:
    """The aws command says what was not granted; another service is refused here and not asked elsewhere."""
    refused = ec2.run("aws", *command)
    assert refused.code != 0
    assert "UnauthorizedOperation" in refused.error
    assert said in refused.error


def test_ec2_s_environment_holds_nothing_of_the_account(ec2: Connected) -> None:
    """Neither the account's secret nor the caller's own keys."""
    shown = ec2.run("env")
    assert SECRET not in shown.out
    assert "of-another-cloud" not in shown.out
    assert "AWS_ACCESS_KEY_ID=CROSSWAY" in shown.out


def test_the_command_s_exit_status_and_the_three_sessions(ec2: Connected) -> None:
    """The command's own status comes back; its calls count in gateway, transport and target session alike."""
    (connection,) = ec2.world.admin.connections.list()
    before = {each["leg"]: each["calls"] for each in ec2.world.admin.connections.sessions(connection["id"])}
    assert ec2.run("sh", "-c", "aws ec2 describe-instances; exit 42").code == 42
    after = {each["leg"]: each["calls"] for each in ec2.world.admin.connections.sessions(connection["id"])}
    assert all(after[leg] > before[leg] for leg in ("gateway", "transport", "target"))


def test_revoking_stops_a_running_openstack_listing(openstack: Connected) -> None:
    """The cloud holds its list half sent, for ever; taking the grant back ends the command.

    The last of its module's OpenStack tests, because the grant does not come back by itself.
    """
    openstack.world.cloud.control("POST", "/_hold")
    try:
        running = openstack.start("openstack", "server", "list")
        wait_until(lambda: any("servers/detail" in str(call["what"]) for call in openstack.calls()), "it is listing")
        assert running.poll() is None
        openstack.revoke("machine")
        assert ended(running).code != 0
    finally:
        openstack.world.cloud.control("POST", "/_release")


def test_closing_stops_a_running_ec2_listing(ec2: Connected) -> None:
    """The cloud drips its answer for an hour; closing the passage ends the command."""
    ec2.world.cloud.faults({"match": "DescribeInstances", "kind": "drip"})
    running = ec2.start("aws", "ec2", "describe-instances")

    def listing() -> str | None:
        opened = [each for each in ec2.world.platform.passages.list() if each["ended_at"] is None]
        return next((each["id"] for each in opened if list(ec2.world.platform.passages.calls(each["id"]))), None)

    wait_until(lambda: listing() is not None, "it is listing")
    ec2.world.platform.passages.close(str(listing()))
    stopped = ended(running)
    assert stopped.code != 0
    assert "it was closed" in stopped.error
