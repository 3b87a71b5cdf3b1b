"""A gateway from its start to its end, everything in one process; the rest of the package is its parts."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from catalog.messages.handshake import public_text
from catalog.search.index import SearchIndex
from catalog.store.database import Database
from gateway.api.server import build_app, serve_app
from gateway.background.noting import Noted
from gateway.background.runner import Runner
from gateway.bootstrap import bootstrap, prepare_state_dir
from gateway.compose import policies
from gateway.compose.adapters import Adapters
from gateway.compose.api import api_services
from gateway.compose.background import background_work
from gateway.compose.connections import connections
from gateway.compose.keys import Keys
from gateway.compose.queues import message_queue
from gateway.relays.service import RelayService
from gateway.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway: where it listens, and its background work."""

    url: str
    runner: Runner
    public_key: str  # base64 Ed25519: what connectors put into their policy as gateway_key
    ssh_public_key: str  # OpenSSH line: what relays put into authorized_keys


@asynccontextmanager
async def gateway(settings: Settings, adapters: Adapters | None = None) -> AsyncIterator[Gateway]:
    """Run the gateway with everything in one process while the context lasts.

    The provisioner runs beside the rest, over the same queue as if it were elsewhere. Raises InvalidSettings,
    InvalidValue or WrongState, with what would be right, before anything listens.
    """
    adapters = adapters or Adapters()
    state_dir = settings.gateway.state_dir
    prepare_state_dir(state_dir)
    keys = Keys.load(state_dir)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.open(settings.database_url, clock=adapters.clock))
        await bootstrap(database, settings, adapters.clock)
        parts = await stack.enter_async_context(connections(settings, adapters, keys, database))
        search = SearchIndex()
        relays = _relays(settings, adapters, keys, database)
        queue = adapters.over_queue(
            await stack.enter_async_context(message_queue(settings.queue, state_dir, database, adapters.clock))
        )
        work = await stack.enter_async_context(
            background_work(settings, adapters, keys, database, parts=parts, search=search, queue=queue)
        )
        await parts.keeper.recover()
        await parts.passages.recover()
        noted = Noted.of(settings.background.disabled)
        work = [*work, relays.task(), *noted.work(database, adapters.clock)]
        runner = Runner(work, clock=adapters.clock, disabled=settings.background.disabled)
        services = api_services(
            settings,
            adapters,
            keys,
            database,
            parts=parts,
            relays=relays,
            runner=runner,
            noted=noted,
            search=search,
            queue=queue,
        )
        stack.push_async_callback(runner.finish)  # once nobody is served any more
        url = await stack.enter_async_context(serve_app(build_app(services), settings.api.listen))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(runner.run())
        log.info("gateway is up", extra={"url": url, "gateway": settings.gateway.name})
        try:
            yield Gateway(
                url=url,
                runner=runner,
                public_key=public_text(keys.signing.public_key()),
                ssh_public_key=keys.ssh.public().shown,
            )
        finally:
            running.cancel()


def _relays(settings: Settings, adapters: Adapters, keys: Keys, database: Database) -> RelayService:
    return RelayService(
        database=database,
        clock=adapters.clock,
        gateway_site=settings.gateway.site,
        keys=keys.ssh,
        policy=policies.tunnel_policy(settings),
        check_period_s=settings.relays.check_period_s,
    )
