"""Every choice of technology that is not a setting."""

from collections.abc import Callable
from dataclasses import dataclass, field

from catalog.clouds import CloudAccount, CloudDriver
from catalog.orders.steps import UNWATCHED
from catalog.platforms import AccountCheck
from catalog.ports import Checkpoint, Clock, Dialer, MessageQueue
from catalog.prices.ports import PublishedPriceLists
from drivers import registry
from drivers.clouds.policy import CallPolicy
from gateway.clock import SystemClock
from gateway.connections.passing import OpenNative
from routing.probe.probers import RawSockets


def _as_it_is(queue: MessageQueue) -> MessageQueue:
    return queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters:
    """Every choice that is not a setting; tests pass their own."""

    clock: Clock = field(default_factory=SystemClock)
    checkpoint: Checkpoint = UNWATCHED
    build_driver: Callable[[CloudAccount, Dialer, CallPolicy], CloudDriver] = registry.build
    providers: tuple[str, ...] = field(default_factory=registry.providers)
    check_account: AccountCheck = registry.check
    open_native: OpenNative = registry.native_passage
    over_queue: Callable[[MessageQueue], MessageQueue] = _as_it_is  # what speaks to the queue that the settings name
    published_prices: PublishedPriceLists = registry.published_prices
    raw_sockets: RawSockets | None = None  # opened before the process gave up the right to; None: opened when needed
