"""What the gateway tells of the network as it is now."""

from typing import TypedDict


class SitePlace(TypedDict):
    """Where a site is, in degrees."""

    name: str
    region: str
    latitude: float | None
    longitude: float | None


class RelayPlace(TypedDict):
    """Where a relay stands."""

    name: str
    site: str
    enabled: bool
    risk: float
    risk_groups: list[str]
    host_key_mismatch_since: str | None


class PlatformPlace(TypedDict):
    """Where a platform is; links name it ``platform/NAME``."""

    name: str
    site: str


class LinkStatus(TypedDict):
    """What the gateway believes of one link now; None is what nobody knows."""

    source: str
    target: str
    method: str
    note: str
    rtt_ms: float | None
    error_ms: float | None
    median_ms: float | None
    smoothed_ms: float | None
    jitter_ms: float | None
    loss_ratio: float | None
    loss_least: float | None
    loss_most: float | None
    sent: float | None
    lost: float | None
    samples: int | None
    dead: bool
    age_s: float | None


class ProbeSpending(TypedDict):
    """What probing spends, since the gateway started."""

    packets: int
    lost: int
    refused: dict[str, int]
    limit_per_s: float | None
    by_source: dict[str, int]


class NetworkStatus(TypedDict):
    """The declared network with what is believed of it; ``changes`` counts moves to another route by reason."""

    gateway_site: str
    sites: list[SitePlace]
    relays: list[RelayPlace]
    platforms: list[PlatformPlace]
    links_alive: int
    links_dead: int
    probes: ProbeSpending
    changes: dict[str, int]


class KnownNetwork(NetworkStatus):
    """The declared network with what is believed of its links."""

    links: list[LinkStatus]
