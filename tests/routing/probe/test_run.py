"""A probe round over real relays: every planned link gets one measurement that says how it was made."""

import asyncio
import dataclasses
import logging
import os
from typing import Literal

import asyncssh
import numpy as np
import pytest

from routing.candidates import CandidatePolicy, enumerate_routes
from routing.errors import RawSocketsRefused
from routing.estimate.table import LinkTable
from routing.mesh import MeshMaker
from routing.probe.attention import Attention
from routing.probe.plan import ProbePolicy, plan_probes
from routing.probe.probers import Probers, _announce
from routing.probe.run import run_probes
from routing.probe.summary import LinkMeasurement
from tests.routing.world import MakeWorld, World, echo_server, target_at
from tests.support.clocks import ManualClock

_TCP = ProbePolicy(interval_ms=1, timeout_ms=5000, icmp="off")


def _round(here: World, policy: ProbePolicy) -> dict[tuple[str, str], LinkMeasurement]:
    """Probe everything between the gateway and an echo target through ``here``, once."""
    clock = ManualClock()

    async def run() -> dict[tuple[str, str], LinkMeasurement]:
        async with echo_server() as address:
            target, topology = target_at(address), here.topology()
            table = LinkTable()
            mesh = MeshMaker(table).mesh(topology, target)
            routes = enumerate_routes(mesh, CandidatePolicy())
            everything = Attention(rows=mesh.rows, samples=np.full(len(mesh.rows), 2))
            plan = plan_probes(everything, table, mesh, routes)
            async with here.pool() as pool, Probers(policy) as probers:
                measured = await run_probes(
                    plan, topology, target, lambda via: pool.lease(via, topology), probers, policy, clock
                )
            assert len(measured) == len(plan.links) == len(mesh.rows)
            return {(link.source, link.target): link for link in measured}

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("timing", "relay_method", "target_method"),
    [("connect", "connect", "connect"), ("banner", "banner", "first_byte")],
)
def test_every_link_is_measured_by_the_method_that_suits_it(
    world: MakeWorld, timing: Literal["connect", "banner"], relay_method: str, target_method: str
) -> None:
    """Two relays, a target: six links, relay to relay both ways included, all answered, each saying how."""
    policy = dataclasses.replace(_TCP, tcp_timing=timing)
    links = _round(world(2), policy)
    assert {pair: link.method for pair, link in links.items()} == {
        ("gw", "target"): target_method,
        ("gw", "r1"): relay_method,
        ("gw", "r2"): relay_method,
        ("r1", "r2"): f"relay-{relay_method}",
        ("r2", "r1"): f"relay-{relay_method}",
        ("r1", "target"): f"relay-{target_method}",
        ("r2", "target"): f"relay-{target_method}",
    }
    assert all(link.lost == 0 and link.sent == 2 and link.note == "" for link in links.values())
    assert all(link.measured_at_s == 1_800_000_000.0 for link in links.values())


@pytest.mark.skipif(os.getuid() != 0, reason="raw sockets on this machine's loopback need root")
def test_relays_are_probed_by_icmp_where_allowed(world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    """With raw sockets, gateway to relay goes by ICMP and the target by TCP; the log says so once, not every round."""
    here = world(1)
    _announce.cache_clear()
    caplog.set_level(logging.INFO, logger="routing.probe.probers")
    policy = dataclasses.replace(_TCP, icmp="require")
    for _ in range(2):
        links = _round(here, policy)
        assert links["gw", "r1"].method == "icmp"
        assert links["gw", "target"].method == "connect"
        assert links["gw", "r1"].lost == 0
    assert [vars(record)["method"] for record in caplog.records if record.name == "routing.probe.probers"] == ["icmp"]


def test_required_icmp_is_refused_without_raw_sockets(world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """``icmp = require`` fails by name rather than falling back in silence; ``auto`` falls back to TCP."""
    here = world(1)
    monkeypatch.setattr("routing.probe.probers.open_raw_sockets", lambda: None)
    with pytest.raises(RawSocketsRefused):
        _round(here, dataclasses.replace(_TCP, icmp="require"))
    assert _round(here, dataclasses.replace(_TCP, icmp="auto"))["gw", "r1"].method == "connect"


def test_a_dead_relay_is_a_measurement(world: MakeWorld) -> None:
    """Links to a stopped relay lose everything, links from it say why, and the rest are measured as ever."""
    here = world(2)
    here.sshds[0].stop()
    links = _round(here, _TCP)
    assert links["gw", "r1"].lost == links["gw", "r1"].sent
    assert links["gw", "r1"].rtt_ms is None
    assert links["r1", "target"].lost == links["r1", "target"].sent
    assert links["r1", "target"].note == "hop-refused"
    assert links["r2", "r1"].lost == links["r2", "r1"].sent
    assert links["r2", "target"].lost == 0
    assert links["gw", "target"].lost == 0


def test_a_relay_with_another_host_key_is_not_used_for_probing(world: MakeWorld) -> None:
    """Probing trusts no more than tunnels do: nothing is asked of a relay that cannot prove its key."""
    here = world(1)
    here.pins["r1"] = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    links = _round(here, _TCP)
    assert links["r1", "target"].note == "host-key-mismatch"
    assert links["r1", "target"].lost == links["r1", "target"].sent
    assert "Accepted" not in here.sshds[0].log
