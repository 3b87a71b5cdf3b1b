"""The server programs behind the command line: serve, provision, migrate, check. Each returns an exit code."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

from catalog.errors import CatalogError
from catalog.model.ids import SiteId
from catalog.model.network import Relay, Site
from catalog.store.database import Database, Tx, schema_state
from catalog.store.database import migrate as migrate_database
from catalog.store.rows import where
from gateway.bootstrap import prepare_state_dir
from gateway.clock import SystemClock
from gateway.compose import Adapters, Keys, gateway
from gateway.errors import GatewayError
from gateway.network import GATEWAY_NODE, relay_node
from gateway.settings import Settings, load
from gateway.telemetry import configure_logging
from routing import topology
from routing.errors import RoutingError
from routing.tunnel.hops import Hops
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy

log = logging.getLogger(__name__)

OK, FAILED, USAGE = 0, 1, 2
OUR_PACKAGES = ("gateway", "routing", "catalog", "drivers")


def serve(config: Path | None, adapters: Adapters | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; print one JSON line on standard output when it is up."""
    return _run(config, lambda settings: asyncio.run(_serve(settings, adapters)))


def provision(config: Path | None) -> int:
    """Refuse, and say why: a provisioner of its own needs a queue and a database that two processes can share."""

    def work(settings: Settings) -> int:
        print(  # noqa: T201  # a program's own last word
            f"database.url is {settings.database_url}: SQLite serves one process, and `crossway serve` runs the "
            "provisioner in it. A provisioner of its own needs a database that two processes can share.",
            file=sys.stderr,
        )
        return FAILED

    return _run(config, work)


def migrate(config: Path | None) -> int:
    """Bring the database up to this release's tables; print what was found and what is now."""

    def work(settings: Settings) -> int:
        prepare_state_dir(settings.gateway.state_dir)
        before = schema_state(settings.database_url)
        migrate_database(settings.database_url)
        _print({"database": settings.database_url, "before": before.value, "now": "current"})
        return OK

    return _run(config, work)


def check(config: Path | None) -> int:
    """Check settings, packages, keys, database and every relay; print one JSON line for each, exit 1 if any is bad."""

    def work(settings: Settings) -> int:
        findings = asyncio.run(_check(settings))
        for finding in findings:
            _print(finding)
        return OK if all(finding["ok"] for finding in findings) else FAILED

    return _run(config, work)


def _run(config: Path | None, work: Callable[[Settings], int]) -> int:
    try:
        settings = load(config)
        configure_logging(level=settings.log.level, form=settings.log.form)
        return work(settings)
    except (CatalogError, GatewayError) as error:
        fix = f"\n  fix: {error.fix}" if error.fix else ""
        print(f"crossway: {error}{fix}", file=sys.stderr)  # noqa: T201  # a program's own last word
        return USAGE


def _print(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201  # the program's output


async def _serve(settings: Settings, adapters: Adapters | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with gateway(settings, adapters) as running:
        _print({"listening": running.url, "gateway_key": running.public_key, "ssh_key": running.ssh_public_key})
        await stop.wait()
        log.info("gateway is going down")
    return OK


async def _check(settings: Settings) -> list[dict[str, object]]:
    foreign = [name for name in OUR_PACKAGES if set(packages_distributions().get(name, ["crossway"])) - {"crossway"}]
    findings: list[dict[str, object]] = [
        {"check": "settings", "ok": True},
        {
            "check": "packages",
            "ok": not foreign,
            "detail": f"another distribution also has {', '.join(foreign)}: use an environment of its own"
            if foreign
            else "",
        },
    ]
    prepare_state_dir(settings.gateway.state_dir)
    keys = Keys.load(settings.gateway.state_dir)
    findings.append({"check": "keys", "ok": True, "ssh_key": keys.ssh.export_public_key().decode().strip()})
    async with Database.open(settings.database_url, clock=SystemClock()) as database:
        findings.append({"check": "database", "ok": True, "url": settings.database_url})
        relays, sites = await database.read(_relays)
    checked = [await _check_relay(relay, sites[relay.site_id], keys, settings) for relay in relays]
    return [*findings, *checked]


def _relays(tx: Tx) -> tuple[list[Relay], dict[SiteId, Site]]:
    return list(where(tx, Relay)), {site.id: site for site in where(tx, Site)}


async def _check_relay(relay: Relay, site: Site, keys: Keys, settings: Settings) -> dict[str, object]:
    """Log in at one relay, straight from here: what cannot be dialled from here may still be reached over another."""
    node = relay_node(relay, site)
    here = topology.Node(name=GATEWAY_NODE, kind=topology.NodeKind.GATEWAY, site=settings.gateway.site)
    network = topology.Topology(gateway=here, relays=(node,), links=())
    policy = TunnelPolicy(hop_timeout_s=settings.tunnel.connect_timeout_s)
    try:
        async with Hops(network, TunnelCredentials(client_key=keys.ssh), policy) as hops:
            await hops.reach((relay.name,))
    except RoutingError as error:
        return {"check": f"relay {relay.name}", "ok": False, "code": error.code, "detail": str(error)}
    return {"check": f"relay {relay.name}", "ok": True}
