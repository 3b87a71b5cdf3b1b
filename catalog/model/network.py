"""The transport network as an admin declares it: sites, relays and links between sites."""

from enum import StrEnum

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import LinkId, RelayId, SiteId
from catalog.model.rows import Row, json_column


class Site(Row, table=True):
    """A place where relays and platforms are; ``latitude`` and ``longitude`` in degrees when known.

    ``country`` is ISO 3166-1 alpha-2, empty when it is not known.
    """

    id: SiteId = Field(primary_key=True, sa_type=String)
    name: str = Field(unique=True)
    region: str = ""
    latitude: float | None = None
    longitude: float | None = None
    country: str = ""


class Login(StrEnum):
    """What the gateway shows to a relay: its raw key, or a certificate for it that lives for minutes."""

    KEY = "key"
    CERTIFICATE = "certificate"


class Relay(Row, table=True):
    """A host with plain sshd that forwards. ``host_key`` is one OpenSSH public key line, pinned by an admin.

    While its host keys are changed, ``more_host_keys`` are pinned beside the first. ``login`` is what it is shown now,
    ``next_login`` what it is to be shown once it is known to take it (empty: nothing else). ``caretaker`` is the
    account by which the gateway keeps the list of addresses that the relay permits; empty: nobody keeps it.
    ``also_permitted`` are addresses (``host:port``) on that list that follow from nothing else.
    """

    id: RelayId = Field(primary_key=True, sa_type=String)
    name: str = Field(unique=True)
    site_id: SiteId = Field(foreign_key="site.id", sa_type=String, index=True)
    host: str
    port: int = 22
    user: str
    host_key: str
    # site name -> "host:port": what to dial when coming from that site, where it differs from host and port
    addresses_from: dict[str, str] = json_column()
    enabled: bool = True
    risk: float = 0.0  # points, by an admin's judgement
    risk_groups: list[str] = json_column(list)  # whose fate it shares: an operator, a building, a provider
    caretaker: str = ""
    login: str = Login.KEY.value
    next_login: str = ""
    also_permitted: list[str] = json_column(list)
    more_host_keys: list[str] = json_column(list)


class SiteLink(Row, table=True):
    """Hosts of ``source`` may dial hosts of ``target`` (and back, when ``both_ways``)."""

    __table_args__ = (UniqueConstraint("source_id", "target_id"),)

    id: LinkId = Field(primary_key=True, sa_type=String)
    source_id: SiteId = Field(foreign_key="site.id", sa_type=String)
    target_id: SiteId = Field(foreign_key="site.id", sa_type=String)
    both_ways: bool = True
    price_usd_per_gb: float | None = None
    capacity_mbps: float | None = None
