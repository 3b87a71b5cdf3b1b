"""What makes machines: a provisioner in the gateway's process or, where provisioners have theirs, what lets them in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from catalog.clouds import Clouds
from catalog.ports import Address, MessageQueue
from drivers.provisioner.journal import ProvisionPolicy, Records
from drivers.provisioner.run import Provisioner
from gateway.background.runner import Service, Work
from gateway.background.tidying import tidy_records_work
from gateway.bootstrap import owner_id
from gateway.compose.adapters import Adapters
from gateway.compose.connections import Connections
from gateway.compose.records import provisioner_records
from gateway.egress.keys import EgressKeys
from gateway.egress.server import egress_server
from gateway.errors import InvalidSettings
from gateway.settings import Settings

# The driver ends a call at its own deadline, with a better reason; the provisioner's is only the belt to its braces.
OWN_CALL_GRACE_S = 10.0


@asynccontextmanager
async def provisioning(
    settings: Settings, adapters: Adapters, parts: Connections, queue: MessageQueue
) -> AsyncIterator[Sequence[Work]]:
    """Return the gateway's share of the work of making machines; what it needs is open while the block lasts.

    Raises WrongState while another process has the records open, InvalidSettings.
    """
    state_dir = settings.gateway.state_dir
    owner = owner_id(state_dir, adapters.clock)
    if settings.provision.listen:
        refuse_alone(settings)
        keys = EgressKeys.load_or_create(state_dir / settings.provision.secret_file)
        listen = address_of(settings.provision.listen)
        answer_s = max(settings.clouds.call_timeout_s, settings.clouds.list_timeout_s) + OWN_CALL_GRACE_S
        async with egress_server(listen, keys, clouds=parts.clouds, live=parts.live, owner=owner, answer_s=answer_s):
            yield ()
        return
    async with provisioner_records(settings.provision, state_dir, adapters.clock) as (records, clock):
        timed = replace(adapters, clock=clock)
        made = made_of(settings, timed, queue=queue, clouds=parts.clouds, records=records, owner=owner)
        yield (Service(name="provision", run=made.run), tidy_records_work(records, clock))


def made_of(
    settings: Settings, adapters: Adapters, *, queue: MessageQueue, clouds: Clouds, records: Records, owner: str
) -> Provisioner:
    """Return the provisioner, wherever it runs; the clock of ``adapters`` is the one that its records go by."""
    call_timeout_s = settings.clouds.call_timeout_s
    return Provisioner(
        queue=queue,
        clouds=clouds,
        records=records,
        clock=adapters.clock,
        checkpoint=adapters.checkpoint,
        owner=owner,
        policy=ProvisionPolicy(
            lease_s=2 * call_timeout_s + OWN_CALL_GRACE_S,
            call_timeout_s=call_timeout_s + OWN_CALL_GRACE_S,
            poll_s=settings.orders.poll_period_s,
        ),
    )


def refuse_alone(settings: Settings) -> None:
    """Raise InvalidSettings unless gateway and provisioner can hear each other: both have a queue that is shared."""
    if not settings.provision.listen and not settings.provision.gateway:
        raise InvalidSettings(
            "no gateway lets a provisioner in: provision.listen and provision.gateway are empty",
            field="provision.listen",
            fix='name it in the settings of both, such as "127.0.0.1:8781"; without it `crossway serve` makes machines',
        )
    if not settings.queue.url:
        raise InvalidSettings(
            "provisioners in processes of their own need a message queue that is shared, and queue.url is empty",
            field="queue.url",
            fix="name a RabbitMQ broker, the same to gateway and provisioners",
        )


def address_of(text: str) -> Address:
    """Return the address that a setting names as ``HOST:PORT``."""
    host, _, port = text.rpartition(":")
    return Address(host=host.strip("[]"), port=int(port))
