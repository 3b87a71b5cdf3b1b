"""A platform (a cloud under one primary account), its endpoints and its sealed credential."""

from enum import StrEnum

from sqlalchemy import String, UniqueConstraint
from sqlmodel import Field

from catalog.model.ids import CredentialId, EndpointId, PlatformId, SiteId
from catalog.model.rows import Row, enum_column, json_column


class Platform(Row, table=True):
    """One cloud as its owner enrolled it. ``provider`` is a libcloud provider key such as ``ec2``."""

    id: PlatformId = Field(primary_key=True, sa_type=String)
    name: str = Field(unique=True)
    provider: str
    site_id: SiteId = Field(foreign_key="site.id", sa_type=String, index=True)
    region: str = ""
    account: str  # the primary account's name at the platform (S1 step 8)
    public_key: str = ""  # base64 Ed25519, signs the connector's answers
    options: dict[str, str] = json_column()
    enabled: bool = True


class Purpose(StrEnum):
    """What an endpoint is for.

    API is where one logs in, and every service that lives under the same host and port; a service that lives
    elsewhere, as an OpenStack's on a port of its own, has an endpoint by itself.
    """

    API = "api"
    CONNECTOR = "connector"
    COMPUTE = "compute"
    IMAGE = "image"
    NETWORK = "network"
    VOLUME = "volume"
    LOAD_BALANCER = "load-balancer"
    DNS = "dns"
    OBJECT_STORAGE = "object-storage"


SERVICES = tuple(purpose for purpose in Purpose if purpose not in {Purpose.API, Purpose.CONNECTOR})


class EndpointState(StrEnum):
    """Whether an admin approved the dial address; only approved endpoints are ever dialled."""

    PROPOSED = "proposed"
    APPROVED = "approved"


class Endpoint(Row, table=True):
    """A URL plus the dial address that an admin approved for it, so that a real name can live anywhere."""

    __table_args__ = (UniqueConstraint("platform_id", "purpose"),)

    id: EndpointId = Field(primary_key=True, sa_type=String)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    purpose: Purpose = enum_column(Purpose)
    url: str
    dial_host: str = ""
    dial_port: int = 0
    # site name -> "host:port": what the exit relay of that site dials instead
    dials_from: dict[str, str] = json_column()
    ca_pem: str | None = None
    state: EndpointState = enum_column(EndpointState, EndpointState.PROPOSED)


class SealedCredential(Row, table=True):
    """A credential as catalog.secrets sealed it; worthless without the key-encryption key."""

    __table_args__ = (UniqueConstraint("platform_id", "name"),)

    id: CredentialId = Field(primary_key=True, sa_type=String)
    platform_id: PlatformId = Field(foreign_key="platform.id", sa_type=String, index=True)
    name: str = "secret"
    key_id: str
    sealed: str  # base64, see catalog.secrets
