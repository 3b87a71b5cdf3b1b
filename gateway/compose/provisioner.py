"""The second application: a provisioner in a process of its own, which calls clouds through the gateway."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.background.runner import Runner, Service, Work
from gateway.background.tidying import tidy_records_work
from gateway.bootstrap import prepare_state_dir
from gateway.compose import policies
from gateway.compose.adapters import Adapters
from gateway.compose.provisioning import address_of, made_of, refuse_alone
from gateway.compose.queues import broker
from gateway.compose.records import provisioner_records
from gateway.egress.client import egress_clouds
from gateway.egress.keys import EgressKeys
from gateway.settings import Settings

log = logging.getLogger(__name__)


@asynccontextmanager
async def provisioner(settings: Settings, adapters: Adapters | None = None) -> AsyncIterator[None]:
    """Run the provisioner while the context lasts; while its gateway is away it waits.

    Raises InvalidSettings, QueueUnavailable or WrongState, with what would be right, before it begins.
    """
    adapters = adapters or Adapters()
    state_dir = settings.gateway.state_dir
    refuse_alone(settings)
    prepare_state_dir(state_dir)
    keys = EgressKeys.load(state_dir / settings.provision.secret_file)
    calls = policies.call_policy(settings)
    queue = adapters.over_queue(broker(settings.queue, state_dir))
    await queue.prepare()
    try:
        async with (
            provisioner_records(settings.provision, state_dir, adapters.clock) as (records, clock),
            egress_clouds(
                address_of(settings.provision.gateway or settings.provision.listen),
                keys,
                policy=policies.tunnel_policy(settings),
                build_driver=lambda account, dialer: adapters.build_driver(account, dialer, calls),
            ) as clouds,
            asyncio.TaskGroup() as tasks,
        ):
            timed = replace(adapters, clock=clock)

            async def provision() -> None:
                owner = await clouds.owner()
                made = made_of(settings, timed, queue=queue, clouds=clouds, records=records, owner=owner)
                await made.run()

            work: Sequence[Work] = [
                Service(name="provision", run=provision),
                tidy_records_work(records, clock),
            ]
            runner = Runner(work, clock=adapters.clock, disabled=settings.background.disabled)
            running = tasks.create_task(runner.run())
            log.info("provisioner is up")
            try:
                yield
            finally:
                running.cancel()
    finally:
        await queue.close()
