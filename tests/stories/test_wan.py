"""The demo's own world as a story: real sshd relays behind a WAN, EC2 API servers behind TLS, and what may not happen.

Runs as root in network namespaces, where packets can be counted and probes are real ICMP.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.client.client import Client
from gateway.clock import SystemClock
from gateway.demo.cities import GATEWAY
from gateway.demo.clouds.ca import PrivateAuthority
from gateway.demo.estate import DEMO_PLATFORMS, Estate
from gateway.demo.story import Report, Story
from tests.support.lab import Lab, require_lab
from tests.support.waiting import wait_until

PATIENCE_S = 90.0
OHIO = DEMO_PLATFORMS[0]


@pytest.fixture(scope="module")
def lab() -> Lab:
    """Return the WAN, not yet started."""
    require_lab()
    return Lab(seed=3)


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The demo's whole story, told once."""
    with Estate(wan=lab, directory=tmp_path_factory.mktemp("estate")) as estate:
        story = Story(estate=estate, report=Report(), tell=lambda _name, _seen: None)
        story.run()
        yield story


def test_every_step_held(story: Story) -> None:
    """The story ends with every step held, and its report says what was chosen and by how much."""
    assert story.report.ok
    facts = story.report.to_json()
    assert {each["platform"] for each in facts["connections"]} == {"ohio", "mumbai", "dubai"}
    assert facts["order_pool"]["served_from"] == "pool"
    assert facts["order_cold"]["served_from"] == "cold"
    assert facts["moved"]["before"] != facts["moved"]["after"]


def test_relays_are_probed_by_icmp(story: Story) -> None:
    """As root in a namespace raw sockets are allowed, so links from the gateway to relays were probed by ICMP.

    What the keepalives of a tunnel that stands already show of a link is no probe, and may be the newest of it.
    """
    for decision in story.report.facts["connections"]:
        links = [link for candidate in decision["candidates"] for link in candidate["links"]]
        to_relays = {link["method"] for link in links if link["source"] == "gateway" and "/" not in link["target"]}
        assert to_relays - {"passive"} == {"icmp"}


def test_no_cloud_traffic_leaves_outside_the_tunnel(story: Story, lab: Lab) -> None:
    """With direct routes forbidden not one packet goes from the gateway's host to the platform's, whatever is done."""
    admin = story.admin
    before = story.connections["mumbai"]
    admin.connections.close(before)
    # The old connection may be direct: only what is sent after its last socket is closed is the new one's.
    wait_until_long(lambda: ended(story, before) and not sockets(lab, "mumbai"), "the old connection is gone")
    straight = lab.count_packets(GATEWAY.site, f"ip daddr {lab.ip('mumbai')}")
    arrived = lab.count_packets("mumbai", "tcp dport 8443", hook="input")
    connection = owner(story, "mumbai").connections.request(policy={"direct_allowed": False})["id"]
    established(admin, connection)
    story._order("mumbai", "cold", {})
    assert "direct" not in {each["route"] for each in admin.connections.routes(connection)["candidates"]}
    assert arrived.packets() > 0
    assert straight.packets() == 0


def test_a_wrong_certificate_is_refused(story: Story) -> None:
    """An API server that cannot prove its name by the approved authority is never logged in to."""
    stranger = PrivateAuthority("somebody else", now_s=SystemClock().now_s())
    client = enrol(story, "impostor", {"url": OHIO.url, "ca_pem": stranger.ca_pem})
    assert failed(story, client)["code"] == "certificate-refused"


def test_a_wrong_name_is_refused(story: Story) -> None:
    """The right authority is not enough: the certificate must be for the name in the URL."""
    ca_pem = story.estate.ca_of(OHIO.site)
    client = enrol(story, "misnamed", {"url": "https://ec2.eu-west-1.amazonaws.com", "ca_pem": ca_pem})
    assert failed(story, client)["code"] == "certificate-refused"


def test_a_dead_relay_is_left(story: Story, lab: Lab) -> None:
    """A relay that falls silent is noticed, and the connection is established again around it."""
    admin = story.admin
    # Without the direct route there is a relay to kill, whatever the WAN's jitter made of the ranking until now.
    admin.connections.close(story.connections["dubai"])
    current = owner(story, "dubai").connections.request(policy={"direct_allowed": False})["id"]
    established(admin, current)
    dead = admin.connections.get(current)["route"].split(">")[0]
    lab.cut_host(f"relay-{dead}")
    try:
        wait_until_long(lambda: around(admin.connections.get(current), dead), "the connection stands without the relay")
    finally:
        lab.heal_host(f"relay-{dead}")


def ended(story: Story, connection: str) -> bool:
    """Tell whether the gateway has taken the connection's tunnel down."""
    lines = (story.estate.state_dir / "log").read_text().splitlines()
    return any('"message": "tunnel ended"' in line and connection in line for line in lines)


def sockets(lab: Lab, site: str) -> str:
    """Return the gateway's TCP sockets to the host of ``site`` that may still send something."""
    states = ("syn-sent", "established", "fin-wait-1", "fin-wait-2", "close-wait", "last-ack", "closing")
    wanted = [word for state in states for word in ("state", state)]
    return lab.run(GATEWAY.site, ["ss", "-Htn", *wanted, "dst", lab.ip(site)]).stdout.strip()


def around(connection: Mapping[str, Any], dead: str) -> bool:
    """Tell whether the connection is established on a route without ``dead``."""
    return connection["state"] == "established" and dead not in connection["route"].split(">")


def owner(story: Story, platform: str) -> Client:
    """Return the client of a platform's owner."""
    return Client(story.estate.server, story.platform_tokens[platform], timeout_s=PATIENCE_S)


def enrol(story: Story, name: str, api: Mapping[str, Any]) -> Client:
    """Enrol another platform at Ohio's API server, with its own idea of how that proves itself."""
    dial = story.estate.dial(GATEWAY.site, OHIO.site, story.estate.ports[OHIO.site, "api"])
    enrolment = story.admin.enrolments.create(platform_name=name, endpoints=[{"purpose": "api", **api, "dial": dial}])
    enrolled = Client(story.estate.server, timeout_s=PATIENCE_S).platforms.enrol(
        enrolment_token=enrolment["token"], name=name, provider="ec2", site=OHIO.site, region=OHIO.region,
        account=OHIO.account, secret=story.estate.secrets[OHIO.site], api=api, options=OHIO.options,
    )  # fmt: skip
    return Client(story.estate.server, enrolled["token"], timeout_s=PATIENCE_S)


def failed(story: Story, client: Client) -> Mapping[str, Any]:
    """Request the platform's connection and return it once it has failed."""
    connection = client.connections.request()["id"]
    found: Mapping[str, Any] = story.admin.connections.wait(
        connection, until=lambda each: each["state"] == "failed", timeout_s=PATIENCE_S
    )
    return found


def established(admin: Client, connection: str) -> None:
    """Wait until the connection is established."""
    admin.connections.wait(connection, until=lambda each: each["state"] == "established", timeout_s=PATIENCE_S)


def wait_until_long(holds: Any, what: str) -> None:
    """Wait for something that takes several keepalives and a rebuild over a slow WAN."""
    for _ in range(4):
        try:
            wait_until(holds, what)
        except AssertionError:
            continue
        return
    wait_until(holds, what)
