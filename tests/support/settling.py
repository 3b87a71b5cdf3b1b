"""The task that settles grants, over the connection machinery."""

from gateway.background.settle_grants import SettleGrants
from tests.support.connecting import Connecting


def settling(world: Connecting) -> SettleGrants:
    """Return the task."""
    return SettleGrants(
        database=world.store.database,
        clock=world.store.clock,
        live=world.live,
        clouds=world.clouds,
        handshake=world.handshake,
        publisher=world.publisher,
    )
