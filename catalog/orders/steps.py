"""The steps of an order on our side; the provisioner's own are drivers.provisioner.steps.PROVISION_STEPS."""

from catalog.ports import Checkpoint

# Every point at which a crash leaves something different behind. Crash tests die at each, so a step that is
# added here without surviving that fails the suite. Those of one transaction stand in the order of its writes.
ORDER_STEPS = (
    "order.placed",  # place: the order is written
    "order.claimed",  # place: an idle machine is taken for it
    "order.dispatched",  # place: or its creation is in the outbox
    "order.publish.begin",  # the message is read from the outbox
    "order.publish.end",  # the queue has it, the outbox does not know
    "order.marked",  # the outbox knows
    "order.settle.begin",  # a result is here, nothing of it is written
    "order.settled",  # settle: its effects are written
    "order.settle.end",  # the effects are committed, the queue does not know
    "order.retried",  # retry: the next attempt is in the outbox
    "order.cancelled",  # cancel: the destruction of what was begun is in the outbox
)


class _Unwatched:
    def reached(self, step: str) -> None:
        """Ignore it."""


UNWATCHED: Checkpoint = _Unwatched()
