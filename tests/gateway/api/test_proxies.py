"""Where a caller comes from: our own proxies are believed, and nobody else."""

import asyncio
from pathlib import Path

import pytest

from catalog.model.access import Login
from catalog.store import rows
from gateway.api.deadlines import Caps
from gateway.api.proxies import Proxies
from gateway.api.services import ApiLimits
from tests.support.api_world import PASSWORD, ApiWorld, Reply, api_world

OURS = ["10.0.0.0/8", "2001:db8:aa::/48"]
TRIES = 30  # by one address, before it has to wait


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        pytest.param("198.51.100.7", ["192.0.2.1"], "198.51.100.7", id="a stranger is not believed"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy's own call"),
        pytest.param("10.0.0.1", ["192.0.2.1"], "192.0.2.1", id="one proxy"),
        pytest.param("10.0.0.1", ["192.0.2.66, 192.0.2.1"], "192.0.2.1", id="what the client wrote is not read"),
        pytest.param("10.0.0.1", ["10.9.9.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1", id="two proxies"),
        pytest.param("10.0.0.1", ["192.0.2.66", "192.0.2.1", "10.0.0.2"], "192.0.2.1", id="a line for each"),
        pytest.param("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all of them ours"),
        pytest.param("10.0.0.1", ["192.0.2.66, unknown, 10.0.0.2"], "10.0.0.2", id="a hop that is no address"),
        pytest.param("10.0.0.1", [""], "10.0.0.1", id="empty"),
        pytest.param("10.0.0.1", ["192.0.2.1:4711"], "192.0.2.1", id="with its port"),
        pytest.param("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1", id="IPv6 with its port"),
        pytest.param("10.0.0.1", ["2001:DB8::1"], "2001:db8::1", id="IPv6"),
        pytest.param("2001:db8:aa::1", ["::ffff:192.0.2.1"], "192.0.2.1", id="IPv4 as IPv6"),
        pytest.param("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1", id="a proxy's IPv4 as IPv6"),
        pytest.param("", ["192.0.2.1"], "", id="a unix socket is not believed"),
    ],
)
def test_the_nearest_hop_that_is_not_ours_is_the_caller(peer: str, forwarded: list[str], caller: str) -> None:
    """The list is read from its end while who speaks is ours; what stands further ahead is the client's own words."""
    assert Proxies.named(OURS).behind(peer, forwarded) == caller


def test_a_unix_socket_is_a_proxys_only_when_it_is_said(tmp_path: Path) -> None:
    """With ``unix`` a log-in over the socket comes from where the proxy says; without, from nowhere."""

    async def story(directory: Path, trusted: list[str]) -> str:
        async with api_world(directory, listen=f"unix:{directory}/s", trusted_proxies=trusted) as world:
            return await address_of(world, await log_in(world, "192.0.2.1"))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert asyncio.run(story(tmp_path / "a", ["unix"])) == "192.0.2.1"
    assert asyncio.run(story(tmp_path / "b", OURS)) == ""


async def log_in(world: ApiWorld, via: str, name: str = "mara@bakery.example", password: str = PASSWORD) -> Reply:
    """Log in as somebody for whom a proxy tells that the call comes from ``via``."""
    body = {"name": name, "password": password}
    return await world.call("nobody", "POST", "/v1/sessions", body, headers={"X-Forwarded-For": via})


async def address_of(world: ApiWorld, reply: Reply) -> str:
    """Return where a session was begun from, as it is kept."""
    assert reply.status == 201, reply.text
    return (await world.services.database.read(lambda tx: rows.by_id(tx, Login, reply.body["id"]))).address


def test_who_guesses_behind_a_proxy_slows_down_nobody_else(tmp_path: Path) -> None:
    """One caller's guesses empty its own bucket, whatever it claims; who comes by the same proxy is let in."""

    async def story() -> None:
        async with api_world(tmp_path, trusted_proxies=["127.0.0.0/8"]) as world:
            for number in range(TRIES):
                guess = await log_in(world, f"192.0.2.{number}, 198.51.100.7", f"user-{number}", "no")
                assert guess.status == 401
            assert (await log_in(world, "192.0.2.99, 198.51.100.7", "another", "no")).status == 429
            assert await address_of(world, await log_in(world, "203.0.113.5")) == "203.0.113.5"

    asyncio.run(story())


def test_who_is_no_proxy_of_ours_cannot_be_elsewhere(tmp_path: Path) -> None:
    """By default nobody is believed: a made-up address gives no fresh bucket, and is not kept."""

    async def story() -> None:
        async with api_world(tmp_path) as world:
            assert await address_of(world, await log_in(world, "192.0.2.1")) == "127.0.0.1"
            for number in range(TRIES):
                assert (await log_in(world, f"192.0.2.{number}", f"user-{number}", "no")).status == 401
            assert (await log_in(world, "192.0.2.99", "another", "no")).status == 429

    asyncio.run(story())


@pytest.mark.parametrize(("trusted", "left"), [((), 0), (("127.0.0.1/32",), 1)])
def test_the_connections_of_a_proxy_are_many_callers(tmp_path: Path, trusted: tuple[str, ...], left: int) -> None:
    """A second connection beyond the cap of one address is closed, from a proxy of ours it is served."""

    async def story() -> None:
        limits = ApiLimits(connections_per_address=1)
        async with api_world(tmp_path, limits=limits, trusted_proxies=trusted) as world:
            assert (await world.call("admin", "GET", "/v1/whoami")).status == 200
            reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
            try:
                writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = await reader.readline()
            except ConnectionError:
                answer = b""
            finally:
                writer.close()
            assert answer.count(b"200") == left

    asyncio.run(story())


def test_the_cap_of_all_holds_for_proxies_too() -> None:
    """What has no cap of its own is counted in all."""
    caps = Caps(total=2, per_address=1)
    assert [caps.enter("") for _ in range(3)] == [None, None, "connections"]
