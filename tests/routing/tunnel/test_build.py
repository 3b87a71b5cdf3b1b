"""Tunnels are built hop by hop; a hop that cannot be trusted or reached stops it, with nothing left open."""

import asyncio

import asyncssh
import pytest

from routing.errors import HopRefused, HopTimedOut, HostKeyMismatch, RoutingError
from routing.topology import Address
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from tests.routing.world import MakeWorld, World, deaf_listener, echo_server, silent_server
from tests.support.sshd import free_port


def _refusal(here: World, policy: TunnelPolicy | None = None) -> RoutingError:
    """Return what building through ``here`` ends in; it must end in a RoutingError and leave no socket of ours open."""

    async def run() -> RoutingError:
        async with echo_server() as address:
            with pytest.raises(RoutingError) as refused:
                await here.build(address, policy)
            return refused.value

    return asyncio.run(run())


def _nothing_open(here: World) -> None:
    for sshd in here.sshds:
        sshd.wait_connections(0)


def _other_key(kind: str = "ssh-ed25519") -> str:
    return asyncssh.generate_private_key(kind).export_public_key().decode()


def test_each_hop_is_reported_as_it_stands(world: MakeWorld) -> None:
    """``on_hop`` hears every relay once, in order, and the tunnel names them."""
    here = world(3)
    heard: list[str] = []

    async def run() -> None:
        async with echo_server() as address:
            tunnel = await here.build(address, on_hop=heard.append)
            assert tunnel.hops == ("r1", "r2", "r3")
            await tunnel.close()

    asyncio.run(run())
    assert heard == ["r1", "r2", "r3"]
    _nothing_open(here)


@pytest.mark.parametrize("hop", ["r1", "r2"])
@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_another_host_key_is_refused_at_every_hop(world: MakeWorld, hop: str, kind: str) -> None:
    """A relay that shows a key other than its pin, of the same kind or another, is named; no user key reached it."""
    here = world(2)
    here.pins[hop] = _other_key(kind)
    refused = _refusal(here)
    assert isinstance(refused, HostKeyMismatch)
    assert refused.hop == hop
    assert not refused.retryable
    _nothing_open(here)
    assert "Accepted" not in here.sshds[int(hop[1:]) - 1].log


def test_a_second_pinned_key_is_accepted(world: MakeWorld) -> None:
    """Any of a relay's pinned lines will do, so that a key can be changed without a gap."""
    here = world(1)
    here.pins["r1"] = f"# next year's\n{_other_key()}\n{here.pins['r1']}\n"

    async def run() -> None:
        async with echo_server() as address:
            await (await here.build(address)).close()

    asyncio.run(run())


@pytest.mark.parametrize("pin", ["", "# none yet\n", "ssh-ed25519 nonsense"])
def test_a_relay_without_a_good_pin_is_not_dialled(world: MakeWorld, pin: str) -> None:
    """No pin is never "any key": the relay is refused before a byte is sent to it."""
    here = world(1)
    here.pins["r1"] = pin
    assert _refusal(here).code == "topology-invalid"
    assert "Connection from" not in here.sshds[0].log


def test_a_relay_that_refuses_our_key_is_named(world: MakeWorld) -> None:
    """A relay that does not know our key refuses the hop; the first relay's connection is closed again."""
    here = world(2)
    (here.sshds[1].directory / "authorized_keys").write_text(_other_key())
    refused = _refusal(here)
    assert isinstance(refused, HopRefused)
    assert refused.hop == "r2"
    _nothing_open(here)


def test_a_foreign_key_of_ours_is_never_offered(
    world: MakeWorld, monkeypatch: pytest.MonkeyPatch, client_key: asyncssh.SSHKey
) -> None:
    """Keys, agents and configuration in the home directory are not used, even if they would open the relay."""
    here = world(1)
    home = here.sshds[0].directory / "home"
    (home / ".ssh").mkdir(parents=True)
    client_key.write_private_key(home / ".ssh" / "id_ed25519")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "agent"))
    here.credentials = TunnelCredentials(client_key=asyncssh.generate_private_key("ssh-ed25519"))
    assert isinstance(_refusal(here), HopRefused)
    assert here.sshds[0].log.count("Failed publickey") <= 1


@pytest.mark.parametrize("hop", [1, 2])
def test_an_unreachable_relay_is_named(world: MakeWorld, hop: int) -> None:
    """A relay that nobody listens for refuses the hop, seen from here or from the relay before it."""
    here = world(2)
    here.sshds[hop - 1].stop()
    refused = _refusal(here)
    assert isinstance(refused, HopRefused)
    assert refused.hop == f"r{hop}"
    here.sshds[2 - hop].wait_connections(0)


def test_a_silent_relay_times_out(world: MakeWorld) -> None:
    """A relay that accepts and says nothing ends as HopTimedOut, and the hop before it is closed."""
    here = world(2)

    async def run() -> None:
        async with silent_server() as silence, echo_server() as address:
            here.sshds[1].stop()
            here.sshds[1].port = silence.port
            with pytest.raises(HopTimedOut) as refused:
                await here.build(address, TunnelPolicy(hop_timeout_s=3))
            assert refused.value.hop == "r2"
            assert refused.value.retryable

    asyncio.run(run())
    here.sshds[0].wait_connections(0)


@pytest.mark.parametrize("relays", [0, 1])
def test_a_target_that_refuses_is_named(world: MakeWorld, relays: int) -> None:
    """A tunnel whose end cannot reach the target does not count as built, and is undone."""
    here = world(relays)

    async def run() -> None:
        with pytest.raises(HopRefused) as refused:
            await here.build(Address("127.0.0.1", free_port()))
        assert refused.value.hop == "target"

    asyncio.run(run())
    _nothing_open(here)


def test_what_a_relay_forbids_is_refused(world: MakeWorld) -> None:
    """A relay boxed in to other addresses refuses the target, and the tunnel is undone."""
    here = world(1, "PermitOpen 127.0.0.1:9")
    refused = _refusal(here)
    assert isinstance(refused, HopRefused)
    assert refused.hop == "target"
    _nothing_open(here)


def test_a_weak_cipher_is_not_negotiated(world: MakeWorld) -> None:
    """A relay that offers nothing better than a cipher open to prefix truncation is refused, and not logged in to.

    Both sides give up on such an offer. Where the relay is first its offer may never arrive, so that the reason cannot
    be known: such an attempt says nothing, and is made again.
    """
    here = world(1, "Ciphers chacha20-poly1305@openssh.com,aes128-ctr")
    refusals = (_refusal(here) for _ in range(20))
    refused = next(each for each in refusals if "ended before it stood" not in str(each))
    assert isinstance(refused, HopRefused)
    assert "AES-GCM" in str(refused)
    assert "Accepted" not in here.sshds[0].log


def test_cancelling_a_build_leaves_nothing(world: MakeWorld) -> None:
    """A build cancelled when its second relay stands, and the target does not answer it, closes both."""
    here = world(2)

    async def run() -> None:
        with deaf_listener() as address:
            stands = asyncio.Event()

            def heard(hop: str) -> None:
                if hop == "r2":
                    stands.set()

            async with asyncio.TaskGroup() as group:
                build = group.create_task(here.build(address, on_hop=heard))
                await stands.wait()
                build.cancel()

    asyncio.run(run())
    _nothing_open(here)


def test_a_target_that_does_not_answer_is_named(world: MakeWorld) -> None:
    """A target that the last relay dials in vain ends the build as HopTimedOut at the target, and all is undone."""
    here = world(1)

    async def run() -> None:
        with deaf_listener() as address, pytest.raises(HopTimedOut) as refused:
            await here.build(address, TunnelPolicy(hop_timeout_s=1))
        assert refused.value.hop == "target"

    asyncio.run(run())
    _nothing_open(here)
