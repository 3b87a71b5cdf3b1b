"""The background work of one gateway, and what it alone needs: what makes machines."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from catalog.ports import MessageQueue
from catalog.search.index import SearchIndex
from catalog.secrets import Sealer
from catalog.store.database import Database
from drivers.webhooks.http import HttpWebhookSender
from gateway.api.idempotency import expire
from gateway.background.grant_work import grant_work
from gateway.background.logs import log_work
from gateway.background.machine_work import machine_work
from gateway.background.order_work import OrderWork
from gateway.background.runner import BackgroundTask, Service, Work
from gateway.background.searching import search_work
from gateway.background.settle_grants import SettleGrants
from gateway.background.tidying import tidy_work
from gateway.compose import policies
from gateway.compose.adapters import Adapters
from gateway.compose.connections import Connections
from gateway.compose.keys import Keys
from gateway.compose.provisioning import provisioning
from gateway.connections.enforcement import Enforcement
from gateway.settings import Settings


@asynccontextmanager
async def background_work(
    settings: Settings,
    adapters: Adapters,
    keys: Keys,
    database: Database,
    *,
    parts: Connections,
    search: SearchIndex,
    queue: MessageQueue,
) -> AsyncIterator[Sequence[Work]]:
    """Return all of it but what relays and calls leave to do; what makes machines is there while it lasts.

    Raises WrongState while another process has the records open, or the server that has them cannot be used.
    """
    clock, checkpoint = adapters.clock, adapters.checkpoint
    async with provisioning(settings, adapters, parts, queue) as making:
        orders = OrderWork(
            database=database,
            queue=queue,
            clock=clock,
            checkpoint=checkpoint,
            policy=policies.order_policy(settings),
        )
        grants = SettleGrants(
            database=database,
            clock=clock,
            live=parts.live,
            clouds=parts.clouds,
            handshake=parts.handshake,
            publisher=parts.publisher,
            read_again_s=settings.discovery.period_s,
        )
        enforcement = Enforcement(database, clock, parts.clouds.calls, parts.live, parts.keeper.let_go)
        yield [
            Service(name="connections", run=parts.keeper.run, wake=parts.keeper.wake),
            Service(name="passages", run=parts.passages.run, wake=parts.passages.wake),
            Service(name="enforcement", run=enforcement.run, wake=enforcement.wake),
            *making,
            *orders.tasks(),
            *grant_work(grants, policies.grant_work_policy(settings)),
            *machine_work(database, clock, parts.clouds),
            BackgroundTask(name="reach", run_once=parts.reach.run_once, period_s=15.0, timeout_s=30.0),
            tidy_work(database, clock, queue, expire),
            search_work(database, clock, search),
            *log_work(
                database,
                clock,
                sealer=Sealer(keys.sealing),
                sign=keys.signing.sign,
                sender=HttpWebhookSender(settings.webhooks.inside_networks, timeout_s=settings.webhooks.timeout_s),
                policy=policies.log_policy(settings),
            ),
        ]
