"""How soon a revocation is felt: ``python -m tests.bench.revocation [--platforms N] [--json]``.

One gateway in one process, its API on TCP, one real sshd as relay, a tunnel to each of the platforms; at each a driver
call runs that its cloud never answers. One after the other all that a platform granted is taken back by three calls,
while the others stand. Every figure is from before the last call is made: ``answered`` to its answer, ``refused`` to
the refusal of the next order, ``offer_gone`` to the first answer that says the offer is withdrawn, ``cut`` to the end
of the running call, which is *unknown*, and ``tunnel`` to the loss of the tunnel.
"""

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

from catalog import tenancy
from catalog.cloud_assets import CloudAssets
from catalog.clouds import MachineChanges, MachineSpec
from catalog.errors import CloudTimedOut
from catalog.messages.in_database import InDatabaseQueue
from catalog.model.access import Role
from catalog.model.connection import Connection, ConnectionState
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.model.offering import Offer
from catalog.store import rows
from catalog.tokens import issue_token
from drivers import registry
from gateway.api.server import build_app, serve_app
from gateway.api.services import ApiServices, Wakes
from gateway.connections.enforcement import Enforcement
from tests.support.connecting import Connecting, connecting, eager
from tests.support.figures import Bar, Figures
from tests.support.sshd import Sshd
from tests.support.stores import add_platform
from tests.support.waiting import until

PLATFORMS = 200
PATIENCE_S = 300.0
SETUP_S = 1200.0
BAR: Bar = ("<=", 1000.0)
FIGURES = ("answered", "refused", "offer_gone", "cut", "tunnel")
SPEC = MachineSpec(name="m", size="s1", image="i1", tags={})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platforms", type=int, default=PLATFORMS)
    figures, arguments = Figures.from_arguments(parser)
    with tempfile.TemporaryDirectory() as directory:
        taken_ms = measured(Path(directory), arguments.platforms)
    for name in FIGURES:
        values = sorted(each[name] for each in taken_ms)
        figures.tell(f"revocation_{name}_p50", values[len(values) // 2], "ms")
        figures.tell(f"revocation_{name}_p99", values[int(len(values) * 0.99)], "ms", BAR, note=f"n={len(values)}")


def measured(directory: Path, count: int) -> list[dict[str, float]]:
    """Return milliseconds by figure for each platform."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = key.export_public_key().decode().strip()
    with connecting(directory, direct=False) as world, Sshd(directory / "r1", line) as sshd:
        world.ssh_key = key
        world.add_relay("r1", sshd)
        world.wire(policy=eager(review_period_s=PATIENCE_S, prove_s=PATIENCE_S))
        world.cloud.hold_creations = asyncio.Event()
        world.accept_everything()
        platforms = [world.platform, *(add_platform(world.store, f"p{number}").id for number in range(1, count))]
        for platform in platforms:
            world.request(platform)
        return asyncio.run(_run(world, platforms))


async def _run(world: Connecting, platforms: list[PlatformId]) -> list[dict[str, float]]:
    enforcement = Enforcement(
        world.store.database, world.store.clock, world.clouds.calls, world.live, world.keeper.let_go
    )
    async with world.target(), world.keeping(), _serving(world, enforcement) as api, asyncio.TaskGroup() as tasks:
        async with asyncio.timeout(SETUP_S):
            while await world.store.database.read(_established) < len(platforms):  # noqa: ASYNC110  # rows have no event
                await asyncio.sleep(0.5)
        running = tasks.create_task(enforcement.run())
        taken = [await _revoked(world, api, platform, tasks) for platform in platforms]
        running.cancel()
        return taken


async def _revoked(world: Connecting, api: "_Api", platform: PlatformId, tasks: asyncio.TaskGroup) -> dict[str, float]:
    """Take all back that ``platform`` granted, and return when that was felt."""
    grants, offer = await world.store.database.read(lambda tx: _granted(tx, platform))
    felt: dict[str, float] = {}
    tunnel = world.live.to_platform(platform).tunnel
    driver = await world.clouds.driver(platform)
    call = tasks.create_task(_ended(driver.create_machine(SPEC)))
    await until(lambda: len(world.clouds.calls) == 1)
    others, last = grants[:-1], grants[-1]
    for grant in others:
        await api.revoke(grant)
    begun_s = time.perf_counter()

    async def note(name: str, happened: Any) -> None:
        await happened
        felt[name] = (time.perf_counter() - begun_s) * 1000

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as waiting:
        waiting.create_task(note("tunnel", tunnel.wait_lost()))
        waiting.create_task(note("cut", call))
        await note("answered", api.revoke(last))
        await note("refused", api.order_refused(offer))
        await note("offer_gone", api.withdrawn(offer))
    assert isinstance(call.result(), CloudTimedOut)
    return felt


def _established(tx: Any) -> int:
    return len(rows.where(tx, Connection, state=ConnectionState.ESTABLISHED))


def _granted(tx: Any, platform: PlatformId) -> tuple[list[str], str]:
    """Return the ids of the platform's grants, that for machines last, and of its offer of machines."""
    grants = rows.where(tx, Grant, platform_id=platform)
    machines = next(each for each in grants if each.capability == "machine")
    (offer,) = rows.where(tx, Offer, grant_id=machines.id)
    return [*(each.id for each in grants if each is not machines), machines.id], offer.id


async def _ended(call: Any) -> Exception | None:
    try:
        await call
    except CloudTimedOut as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class _Api:
    """The API as its callers see it."""

    url: str
    http: aiohttp.ClientSession
    tokens: dict[str, str]
    keys: "itertools.count[int]"

    async def revoke(self, grant: str) -> None:
        """Take it back."""
        assert (await self._call("admin", "POST", f"/v1/grants/{grant}/revoke"))[0] == 200

    async def order_refused(self, offer: str) -> None:
        """Order once; it must be refused."""
        status, body = await self._call(
            "member", "POST", "/v1/orders", {"offer": offer, "size": "small", "image": "debian-12"}
        )
        assert status in {400, 403, 404, 409, 422}, (status, body)

    async def withdrawn(self, offer: str) -> None:
        """Look until the offer is withdrawn."""
        while (await self._call("admin", "GET", f"/v1/offers/{offer}"))[1]["state"] != "withdrawn":
            pass

    async def _call(self, role: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.tokens[role]}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = f"key-{next(self.keys)}"
        data = None if body is None else json.dumps(body)
        if body is None:
            del headers["Content-Type"]
        async with self.http.request(method, self.url + path, data=data, headers=headers) as response:
            return response.status, await response.json(content_type=None)


@asynccontextmanager
async def _serving(world: Connecting, enforcement: Enforcement) -> AsyncIterator[_Api]:
    wakes = {Wakes.ENFORCEMENT: enforcement.wake}
    now_s, tokens = world.store.now_s, {}

    def issue(tx: Any) -> None:
        _, tokens["admin"] = issue_token(tx, role=Role.ADMIN, name="root", now_s=now_s)
        tenancy.create_organisation(tx, name="acme", now_s=now_s)
        project = tenancy.create_project(tx, organisation="acme", name="shop", now_s=now_s)
        _, tokens["member"] = issue_token(tx, role=Role.MEMBER, name="acme", subject_id=project.id, now_s=now_s)

    async def act(*_: object) -> None:
        raise AssertionError("nobody acts on machines here")

    async def assets_of(*_: object) -> CloudAssets:
        raise AssertionError("nobody acts on assets here")

    async def machine_changes(*_: object) -> MachineChanges:
        raise AssertionError("nobody changes machines here")

    await world.store.database.write(issue)
    services = ApiServices(
        database=world.store.database,
        clock=world.store.clock,
        sealer=world.store.sealer,
        known_providers=("simulated",),
        wake=lambda name: wakes.get(name, lambda: None)(),
        background_status=list,
        machine_action=act,
        assets_of=assets_of,
        machine_changes=machine_changes,
        check_account=registry.check,
        queue=InDatabaseQueue(world.store.database, world.store.clock),
        gateway_site="gw",
        default_weights={},
    )
    async with serve_app(build_app(services), "127.0.0.1:0") as url, aiohttp.ClientSession() as http:
        yield _Api(url, http, tokens, itertools.count())


if __name__ == "__main__":
    main()
