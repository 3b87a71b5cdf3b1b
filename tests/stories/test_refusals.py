"""What must not happen does not: wrong keys, certificates, credentials and answers end with a reason and no debris."""

from pathlib import Path

import asyncssh
import pytest

from gateway.client.client import Client
from gateway.client.problems import ApiProblem
from tests.support.small_world import GRANT_ALL, PATIENCE_S, PLATFORM, SmallWorld, small_world


def failed(world: SmallWorld, connection: str) -> tuple[str, str]:
    """Wait until the connection has failed and return code and reason."""
    found = world.wait_connection(connection, "failed")
    return found["code"], found["reason"]


def other_host_key() -> str:
    """Return the public line of a host key that no relay has."""
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


def test_a_relay_with_another_host_key_is_never_used(tmp_path: Path) -> None:
    """Host keys are checked at every hop: with a wrong pin a relay is refused, and the other way is taken."""
    with small_world(tmp_path) as world:
        world.relays["alpha"].host_key = other_host_key()
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connection = world.connect()
        assert world.admin.connections.get(connection)["route"] == "beta"
        assert world.relays["alpha"].connections() == 0


def test_no_route_with_the_right_key_fails_and_leaves_nothing(tmp_path: Path) -> None:
    """With a wrong pin for every relay the connection fails, says so, and nothing is left open or half recorded."""
    with small_world(tmp_path) as world:
        for relay in world.relays.values():
            relay.host_key = other_host_key()
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connection = world.platform.connections.request()["id"]
        code, reason = failed(world, connection)
        assert code == "no-route"
        for relay in world.relays:
            assert f"{relay} to platform/{PLATFORM}: host-key-mismatch" in reason
        for relay in world.relays.values():
            relay.wait_connections(0)
        assert list(world.admin.connections.sessions(connection)) == []


def test_wrong_credentials_fail_and_are_undone(tmp_path: Path) -> None:
    """The cloud refuses the account: the connection fails with that code, its sessions end and its tunnel closes."""
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol(secret="not the right one")
        connection = world.platform.connections.request()["id"]
        code, reason = failed(world, connection)
        assert code == "cloud-credentials-refused"
        assert "not the right one" not in reason
        assert all(each["ended_at"] is not None for each in world.admin.connections.sessions(connection))


def test_a_connector_that_grants_nothing_offers_nothing(tmp_path: Path) -> None:
    """A denied grant is no offer, and nothing of the cloud was read but log-in and the service list."""
    with small_world(tmp_path, policy=GRANT_ALL.replace("grant", "deny")) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connection = world.connect()
        assert {grant["state"] for grant in world.admin.grants.list()} == {"denied"}
        assert list(world.admin.offers.list()) == []
        assert {each["calls"] for each in world.admin.connections.sessions(connection)} == {1}


def test_an_undeclared_link_means_no_route(tmp_path: Path) -> None:
    """Without a way to the platform the connection fails at once and names the rule that left none."""
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.admin.sites.create(name=PLATFORM)
        world.enrol()
        code, reason = failed(world, world.platform.connections.request()["id"])
        assert code == "no-route"
        assert "links" in reason


def test_an_enrolment_token_works_once(tmp_path: Path) -> None:
    """A used token enrols nobody; a name in use is refused and says so."""
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        with pytest.raises(ApiProblem) as refused:
            world.enrol()
        assert refused.value.code == "already-exists"


def test_another_platform_needs_the_owners_word(tmp_path: Path) -> None:
    """A asks for B: nothing happens before B's owner consents, and A never sees B's account."""
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        asker = enrol_another(world)
        connection = asker.connections.request(target=PLATFORM)["id"]
        assert world.admin.connections.get(connection)["state"] == "awaiting-consent"
        with pytest.raises(ApiProblem):
            asker.connections.consent(connection, allow=True)
        world.platform.connections.consent(connection, allow=True)
        world.wait_connection(connection, "established")
        assert "CANARY" not in str(dict(asker.connections.get(connection)))
        with pytest.raises(ApiProblem) as refused:
            asker.platforms.get(PLATFORM)
        assert refused.value.status == 404


def test_a_refused_consent_ends_the_request(tmp_path: Path) -> None:
    """B's owner says no: the request has failed, and no tunnel was ever tried."""
    with small_world(tmp_path) as world:
        world.start_gateway()
        world.declare_network()
        world.enrol()
        connection = enrol_another(world).connections.request(target=PLATFORM)["id"]
        world.platform.connections.consent(connection, allow=False)
        world.wait_connection(connection, "failed")
        assert list(world.admin.connections.steps(connection)) == []


def enrol_another(world: SmallWorld) -> Client:
    """Enrol a second platform at the same site and return its owner's client."""
    api = {"url": world.cloud.url}
    enrolment = world.admin.enrolments.create(
        platform_name="asker", endpoints=[{"purpose": "api", **api, "dial": str(world.cloud.address)}]
    )
    enrolled = Client(world.server, timeout_s=PATIENCE_S).platforms.enrol(
        enrolment_token=enrolment["token"], name="asker", provider="simulated", site=PLATFORM,
        account="ASKER", secret="askers own", api=api,
    )  # fmt: skip
    return Client(world.server, enrolled["token"], timeout_s=PATIENCE_S)
