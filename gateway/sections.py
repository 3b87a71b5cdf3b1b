"""The tables of the settings about letting people in, and what every table is made of; ``settings`` reads them."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Ratio = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


def _proxy(text: str) -> str:
    if text != "unix":
        ip_network(text)
    return text


Proxy = Annotated[str, AfterValidator(_proxy)]  # a network, or "unix"
HostPort = Annotated[str, Field(pattern=r"^((\[[0-9a-fA-F:.]+\]|[^:\s\[\]]+):[0-9]{1,5})?$")]


class Section(BaseModel):
    """One table of the file: frozen, and nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoginSettings(Section):
    """How people log in: what a password's hash costs (RFC 9106), and how long a session lasts."""

    argon2_memory_kib: int = Field(65_536, ge=8_192)
    argon2_passes_count: Count = 3
    argon2_lanes_count: int = Field(4, ge=1, le=16)
    threads_count: int = Field(2, ge=1, le=16)
    waiting_limit_count: Count = 16
    session_s: Positive = 604_800.0
    idle_s: float = Field(43_200.0, ge=300.0, allow_inf_nan=False)  # uses are written once a minute


class QueueSettings(Section):
    """Where messages wait; without a URL in the database. A password stands in a file, in the state directory."""

    url: str = Field("", pattern=r"^(amqps?://([^:@/]+@)?[^@]+)?$")
    password_file: Path | None = None


class ProvisionSettings(Section):
    """Who makes machines, and where that is written down.

    The gateway itself or, where it has an address to ``listen`` at, processes of their own. Without a ``database_url``
    the records are a file that one process has alone.
    """

    listen: HostPort = ""
    gateway: HostPort = ""  # where a provisioner reaches the gateway; without it, where that listens
    secret_file: Path = Path("egress.secret")
    database_url: str = Field("", pattern=r"^(postgresql://([^:@/]*@)?[^@]+)?$")
    database_password_file: Path | None = None


class OidcRoleSettings(Section):
    """What somebody is here whose claim holds ``value``: a role in a project, or one for the whole gateway."""

    value: str
    role: Literal["admin", "operator", "auditor", "owner", "member", "viewer"]
    project: str = ""


class OidcSettings(Section):
    """Log-in at an identity provider by OpenID Connect; without an issuer there is none."""

    issuer: str = Field("", pattern=r"^(https://[!-~]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?[!-~]*)?$")
    client_id: str = ""
    client_secret_file: Path = Path("oidc.secret")
    redirect_uri: str = ""
    role_claim: str = "groups"
    roles: tuple[OidcRoleSettings, ...] = ()
