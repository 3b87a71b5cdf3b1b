"""The server programs behind the command line: serve, provision, migrate, check. Each returns an exit code."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from catalog.errors import CatalogError
from catalog.store.database import migrate as migrate_database
from catalog.store.database import schema_state, shown
from gateway.bootstrap import prepare_state_dir
from gateway.check import check_all
from gateway.compose.adapters import Adapters
from gateway.compose.gateway import gateway
from gateway.compose.provisioner import provisioner
from gateway.errors import GatewayError
from gateway.settings import Settings, load
from gateway.telemetry import configured_logging
from routing.probe.privilege import give_up_privileges
from routing.probe.probers import RawSockets, open_raw_sockets

log = logging.getLogger(__name__)

OK, FAILED, USAGE = 0, 1, 2


def provider_names() -> tuple[str, ...]:
    """Return the providers that a platform can be of."""
    return Adapters().providers


def serve(config: Path | None, adapters: Adapters | None = None, *, confine: bool = False) -> int:
    """Run the gateway until SIGTERM or SIGINT; print one JSON line on standard output when it is up.

    ``confine``, for a process that is nothing but the gateway: raw sockets for probing are opened first, and then every
    privilege is given up that a gateway has no use for.
    """

    def work(settings: Settings) -> int:
        chosen = adapters or Adapters()
        if confine:
            chosen = replace(chosen, raw_sockets=_confined(settings))
        return asyncio.run(_serve(settings, chosen))

    return _run(config, work)


def _confined(settings: Settings) -> RawSockets | None:
    """Return raw sockets, where they may be had, and give up what else this process could do."""
    raw = open_raw_sockets() if settings.probe.icmp != "off" else None
    # Ports below 1024 are bound later; files of the state directory may belong to another user than root.
    left = give_up_privileges({"net_bind_service", "dac_override"})
    if left.held and left.other_threads:
        log.warning("threads that run already keep their privileges", extra={"threads": left.other_threads})
    return raw


def provision(config: Path | None, adapters: Adapters | None = None, *, confine: bool = False) -> int:
    """Run a provisioner of its own until SIGTERM or SIGINT; print one JSON line on standard output when it is up.

    ``confine``, for a process that is nothing but that: every privilege is given up that it has no use for.
    """

    def work(settings: Settings) -> int:
        if confine:
            give_up_privileges({"dac_override"})
        return asyncio.run(_provision(settings, adapters))

    return _run(config, work)


def migrate(config: Path | None) -> int:
    """Bring the database up to this release's tables; print what was found and what is now."""

    def work(settings: Settings) -> int:
        prepare_state_dir(settings.gateway.state_dir)
        before = schema_state(settings.database_url)
        migrate_database(settings.database_url)
        _print({"database": shown(settings.database_url), "before": before.value, "now": "current"})
        return OK

    return _run(config, work)


def check(config: Path | None) -> int:
    """Check what a start would need, and every relay; print one JSON line for each, exit 1 if any is bad.

    Creates nothing, and may run beside a gateway on the same state.
    """

    def work(settings: Settings) -> int:
        findings = asyncio.run(check_all(settings))
        for finding in findings:
            _print(finding)
        return OK if all(finding["ok"] for finding in findings) else FAILED

    return _run(config, work)


def _run(config: Path | None, work: Callable[[Settings], int]) -> int:
    try:
        settings = load(config)
        with configured_logging(level=settings.log.level, form=settings.log.form):
            return work(settings)
    except (CatalogError, GatewayError) as error:
        fix = f"\n  fix: {error.fix}" if error.fix else ""
        print(f"crossway: {error}{fix}", file=sys.stderr)  # noqa: T201  # a program's own last word
        return USAGE


def _print(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201  # the program's output


async def _serve(settings: Settings, adapters: Adapters | None) -> int:
    stop = _told_to_stop()
    async with gateway(settings, adapters) as running:
        _print({"listening": running.url, "gateway_key": running.public_key, "ssh_key": running.ssh_public_key})
        await stop.wait()
        log.info("gateway is going down")
    return OK


async def _provision(settings: Settings, adapters: Adapters | None) -> int:
    stop = _told_to_stop()
    async with provisioner(settings, adapters):
        _print({"provisioning": settings.provision.gateway or settings.provision.listen})
        await stop.wait()
        log.info("provisioner is going down")
    return OK


def _told_to_stop() -> asyncio.Event:
    """Return what is set by SIGTERM and SIGINT from now on."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
