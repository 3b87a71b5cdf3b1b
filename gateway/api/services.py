"""What the API is given by the composition root; the only way in which it reaches the rest of the process."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from catalog.access import Principal
from catalog.cloud_assets import CloudAssets
from catalog.clouds import MachineAction, MachineChanges
from catalog.errors import NotFound, WrongState
from catalog.last_used import LastUsed
from catalog.model.ids import PlatformId
from catalog.orders.policy import RetryPolicy
from catalog.orders.steps import UNWATCHED
from catalog.platforms import AccountCheck
from catalog.ports import Checkpoint, Clock, MessageQueue
from catalog.prices.ports import PublishedPriceLists, PublishedPrices
from catalog.providers import Provider
from catalog.refusals import Refusals
from catalog.relay_care import GatewayKeys
from catalog.search.index import SearchIndex
from catalog.secrets import Sealer
from catalog.store.database import Database
from catalog.webhooks import WebhookPolicy
from gateway.api.proxies import Proxies
from gateway.api.watch import ChangeNotifier
from gateway.connections.links import LinksPage
from gateway.connections.passing import Passing
from gateway.connections.streams import Stream
from gateway.logins.doors import Doors
from gateway.telemetry import Metrics


class Wakes:
    """The names of the background tasks that endpoints wake; the runner must know them all."""

    CONNECTIONS = "connections"  # connections: requested, consented, rerouted, closed
    GRANTS = "grants"  # accepted grants: proofs and inventory
    DISPATCH = "dispatch"  # the outbox
    POOLS = "pools"
    PASSAGES = "passages"  # whatever may end one: a passage closed, a grant or token revoked, a connection closed
    ENFORCEMENT = "enforcement"  # whatever may end or narrow a grant: driver calls and tunnels under it
    RELAYS = "relays"  # what relays permit follows from relays, links and approved endpoints
    ALL = (RELAYS, CONNECTIONS, GRANTS, DISPATCH, POOLS, PASSAGES, ENFORCEMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """How much of the process one client, or all of them, may hold."""

    body_bytes: int = 262_144
    head_s: float = 5.0  # from the first byte of a request to the end of its headers
    body_s: float = 5.0  # from the end of the headers to the end of the body
    keepalive_s: float = 30.0
    readiness_s: float = 2.0  # how long the database may take to answer before it counts as away
    linger_s: float = 2.0  # how long the rest of a refused body is read and thrown away
    action_s: float = 60.0  # a call to a cloud that a request waits for
    shutdown_s: float = 5.0
    connections: int = 512
    connections_per_address: int = 256
    watchers: int = 256
    passage_s: float = 3600.0  # how long a passage is open when nothing else is said
    passage_body_bytes: int = 1_048_576
    feed_beat_s: float = 15.0  # a feed without events says that it still stands
    feed_stall_s: float = 30.0  # a reader that takes nothing for so long is cut off
    watch_poll_s: float = 0.5  # changes that nobody announced are seen this late


class WhatIf(Protocol):
    """How a stored decision is ranked again."""

    def __call__(
        self, document: Mapping[str, Any], weights: Mapping[str, float], *, profile: str | None = None
    ) -> Mapping[str, Any]:
        """Return ``document`` as it would be with ``weights`` in the place of its own, by ``profile`` (None: its own).

        Pure. Raises InvalidValue for an unknown weight, or for a document that holds too little to rank again.
        """
        ...


def knows_nothing() -> Mapping[str, Any]:
    """Return the network status of a process that has measured nothing."""
    return {}


def knows_no_links(near: str, after: int, limit: int) -> LinksPage:
    """Return the links of a process that has measured nothing."""
    del near, after, limit
    return LinksPage(links=[], next_row=None)


def ranks_nothing(
    document: Mapping[str, Any], weights: Mapping[str, float], *, profile: str | None = None
) -> Mapping[str, Any]:
    """Refuse, as a process that chooses no routes must."""
    del document, weights, profile
    raise WrongState("no routes are chosen here", fix="ask the gateway that keeps the connections")


def signs_nothing(data: bytes) -> bytes:
    """Refuse, as a process without the gateway's key must."""
    del data
    raise WrongState("nothing is signed here", fix="ask the gateway that keeps the connections")


def publishes_no_prices(provider: str, region: str) -> PublishedPrices:
    """Find nothing, as a process without cloud drivers must."""
    raise NotFound(f"no prices are published here for '{provider}' in '{region or 'any region'}'")


class OpenStream(Protocol):
    """How a stream into a platform's network is opened."""

    def __call__(
        self, principal: Principal, platform: str, *, host: str, port: int
    ) -> AbstractAsyncContextManager[Stream]:
        """Give a stream to ``host:port`` while the block lasts; see ``gateway.connections.streams``."""
        ...


def opens_nothing(principal: Principal, platform: str, *, host: str, port: int) -> AbstractAsyncContextManager[Stream]:
    """Refuse, as a process that keeps no tunnels must."""
    del principal, platform, host, port
    raise WrongState("no streams are opened here", fix="ask the gateway that keeps the connections")


class Relays(Protocol):
    """Relays as hosts that are cared for."""

    def public_keys(self) -> GatewayKeys:
        """Return the public keys by which relays know this gateway, as they are now."""
        ...

    def rotation(self) -> Mapping[str, str]:
        """Return why the next SSH key is not in use yet, by relay; empty when nothing is known to stand against it."""
        ...

    def begin_rotation(self) -> None:
        """Make the next SSH key, which relays are then given beside the one in use. May be repeated."""
        ...

    def give_up_rotation(self) -> None:
        """Forget the next SSH key. May be repeated."""
        ...

    async def examine(self, relay: str, facts: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Return what is found at the relay with this name or id, one finding per check. Raises NotFound.

        ``facts`` are what an admin read at the host itself: clock, nofile, maxstartups.
        """
        ...


class NoRelays:
    """The relays of a process that has none."""

    def public_keys(self) -> GatewayKeys:
        """Return empty keys."""
        return GatewayKeys(shown="", accepted=(), authority="", caretaker="")

    def rotation(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def begin_rotation(self) -> None:
        """Refuse."""
        raise WrongState("no relays are cared for here", fix="ask the gateway that keeps the connections")

    def give_up_rotation(self) -> None:
        """Do nothing: there is nothing to give up."""

    async def examine(self, relay: str, facts: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Refuse."""
        del relay, facts
        raise WrongState("no relays are cared for here", fix="ask the gateway that keeps the connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """Everything an endpoint may use. ``wake`` and ``background_status`` are the background runner's.

    ``machine_action`` carries out start, stop or reboot at the cloud and raises CloudError; so do ``assets_of``
    and ``machine_changes`` and what they return. ``check_account`` judges (provider, region, options) of a platform
    that enrols, and raises InvalidValue. ``gateway_site`` is the name of the site where the gateway itself is.
    ``network_status`` returns what is believed of the network now, called on the event loop: {"links_alive",
    "links_dead", "probes", "changes", "host_key_mismatches"}, each as ``gateway.api.network_status`` reads it, any of
    them absent; ``network_links`` a page of links (near which node, from which row, how many), likewise. ``passing``
    answers calls in passages; None in a process that holds none.
    ``sign`` signs with the gateway's own key. ``published_prices`` are the price lists that come with the drivers.
    """

    database: Database
    clock: Clock
    sealer: Sealer
    known_providers: tuple[str, ...]
    providers: tuple[Provider, ...] = ()  # all that is known of them, those that are refused included
    wake: Callable[[str], None]
    background_status: Callable[[], list[dict[str, Any]]]
    machine_action: Callable[[PlatformId, str, MachineAction], Awaitable[None]]
    assets_of: Callable[[PlatformId], Awaitable[CloudAssets]]
    machine_changes: Callable[[PlatformId], Awaitable[MachineChanges]]
    check_account: AccountCheck
    queue: MessageQueue  # between order application and provisioner
    gateway_site: str
    default_weights: Mapping[str, float]
    gateway_info: Mapping[str, str] = field(default_factory=dict)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    checkpoint: Checkpoint = UNWATCHED
    limits: ApiLimits = field(default_factory=ApiLimits)
    metrics: Metrics = field(default_factory=Metrics)
    changes: ChangeNotifier = field(default_factory=ChangeNotifier)
    network_status: Callable[[], Mapping[str, Any]] = knows_nothing
    network_links: Callable[[str, int, int], LinksPage] = knows_no_links
    what_if: WhatIf = ranks_nothing
    open_stream: OpenStream = opens_nothing
    passing: Passing | None = None
    relays: Relays = field(default_factory=NoRelays)
    sign: Callable[[bytes], bytes] = signs_nothing
    published_prices: PublishedPriceLists = publishes_no_prices
    search: SearchIndex = field(default_factory=SearchIndex)
    webhooks: WebhookPolicy = field(default_factory=WebhookPolicy)
    last_used: LastUsed = field(default_factory=LastUsed)
    refusals: Refusals = field(default_factory=Refusals)
    doors: Doors = field(default_factory=Doors)
    proxies: Proxies = field(default_factory=Proxies)
