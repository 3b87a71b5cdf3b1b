"""Settings: one TOML file plus ``CROSSWAY_…`` environment variables, the only reader of both.

Every value carries its unit in its name; unknown keys are refused, so that a misspelt one cannot be
silently ignored. ``config/crossway.toml`` lists every setting with its default; a test keeps it equal to this file.
An environment variable names a setting by its path, ``CROSSWAY_API__LISTEN=unix:/run/crossway.sock``; one that has the
form of a path and names no setting is refused too.
"""

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, Field, IPvAnyNetwork, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from gateway.errors import InvalidSettings
from gateway.sections import (
    Count,
    LoginSettings,
    NotNegative,
    OidcSettings,
    Positive,
    ProvisionSettings,
    Proxy,
    QueueSettings,
    Ratio,
    Section,
)

PREFIX, DELIMITER = "CROSSWAY_", "__"


class GatewaySettings(Section):
    """Who this gateway is and where it keeps its state."""

    name: str = Field("crossway", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    site: str = "gateway"
    state_dir: Path = Path("var")


class ApiSettings(Section):
    """The front door."""

    listen: str = "127.0.0.1:8780"
    body_limit_bytes: Count = 262_144
    read_timeout_s: Positive = 5.0
    connection_limit_count: Count = 512
    trusted_proxies: tuple[Proxy, ...] = ()


class DatabaseSettings(Section):
    """Where facts are kept; empty means ``crossway.sqlite3`` in the state directory."""

    url: str = ""


class LogSettings(Section):
    """What is logged, and in which form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    form: Literal["json", "text"] = "json"


class SiteSettings(Section):
    """A declared site."""

    name: str
    region: str = ""
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)


class RelaySettings(Section):
    """A declared relay; its host key is pinned here, never learnt."""

    name: str
    site: str
    host: str
    port: int = Field(22, ge=1, le=65535)
    user: str
    host_key: str
    addresses_from: dict[str, str] = Field(default_factory=dict)
    risk: NotNegative = 0.0
    risk_groups: tuple[str, ...] = ()


class LinkSettings(Section):
    """Two sites whose hosts may dial each other."""

    source: str
    target: str
    both_ways: bool = True
    price_usd_per_gb: float | None = Field(None, ge=0)
    capacity_mbps: float | None = Field(None, gt=0)


class NetworkSettings(Section):
    """The transport network, as far as the file declares it; the API may add more."""

    sites: tuple[SiteSettings, ...] = ()
    relays: tuple[RelaySettings, ...] = ()
    links: tuple[LinkSettings, ...] = ()


class WeightSettings(Section):
    """What each term of a route's cost counts for; 1.0 means one millisecond costs one millisecond."""

    delay: NotNegative = 1.0
    loss: NotNegative = 1.0
    jitter: NotNegative = 1.0
    hops: NotNegative = 5.0
    price: NotNegative = 0.0
    risk: NotNegative = 0.0


class RoutingSettings(Section):
    """Which routes are considered, and when another one is worth a change."""

    direct_allowed: bool = True
    relay_limit_count: int = Field(2, ge=0, le=4)
    candidate_limit_count: Count = 12
    entry_limit_count: Count = 8
    exit_limit_count: Count = 8
    move_ratio: Ratio = 0.1
    move_ms: NotNegative = 10.0
    move_patience: NotNegative = 1.5
    escape_ratio: float = Field(1.25, ge=1)
    review_period_s: Positive = 15.0
    weights: WeightSettings = WeightSettings()


class ProbeSettings(Section):
    """How links are measured."""

    icmp: Literal["auto", "off", "require"] = "auto"
    tcp_timing: Literal["connect", "banner"] = "connect"
    interval_ms: Positive = 30.0
    timeout_ms: Positive = 1500.0
    turns_count: Count = 4
    tolerance_ms: NotNegative = 1.0
    tolerance_ratio: Ratio = 0.01
    in_use_samples_count: Count = 3
    in_use_age_s: Positive = 10.0
    rival_age_s: Positive = 30.0
    rest_age_s: Positive = 600.0
    packets_per_s: Positive = 100.0
    relay_packets_per_s: Positive = 10.0


class TunnelSettings(Section):
    """How hops are connected and kept alive, and how many connections to relays are kept."""

    connect_timeout_s: Positive = 8.0
    keepalive_interval_s: Positive = 1.0
    keepalive_count: Count = 7
    heartbeat_interval_s: Positive = 0.1
    idle_heartbeat_interval_s: Positive = 0.5
    suspect_after_s: Positive = 0.2
    dead_after_s: Positive = 6.0
    idle_close_s: Positive = 300.0
    idle_limit_count: Count = 256
    connection_limit_count: Count = 2048


class RelayCareSettings(Section):
    """How relays are cared for."""

    check_period_s: Positive = 900.0


class CloudSettings(Section):
    """Limits of every call to a cloud."""

    call_timeout_s: Positive = 30.0
    threads_count: Count = 4
    body_limit_bytes: Count = 8_388_608
    list_timeout_s: Positive = 120.0


class DiscoverySettings(Section):
    """How often it is looked what accounts can do and what there is."""

    period_s: Positive = 3600.0


class HandshakeSettings(Section):
    """The capability handshake, and which grants are accepted without an admin's word."""

    timeout_s: Positive = 10.0
    ask_again_period_s: Positive = 10.0
    accept: tuple[str, ...] = ()  # standing rules "platform/capability", "*" for any


class PassageSettings(Section):
    """Native sessions: how long they last, and the limits of every call in one."""

    lifetime_s: Annotated[float, Field(gt=0, le=43_200)] = 3600.0
    call_timeout_s: Positive = 60.0
    calls_limit_count: Count = 32
    body_limit_bytes: Count = 1_048_576
    answer_limit_bytes: Count = 67_108_864


class OrderSettings(Section):
    """How creation is tried and tried again."""

    attempts_count: Count = 3
    retry_first_s: Positive = 2.0
    retry_longest_s: Positive = 60.0
    build_deadline_s: Positive = 900.0
    poll_period_s: Positive = 1.0


class LeaseSettings(Section):
    """What is told of leases that end soon."""

    reminders_s: tuple[Positive, ...] = (86_400.0, 3600.0)


class PoolSettings(Section):
    """How pools are filled."""

    period_s: Positive = 5.0
    failure_limit_count: Count = 5


class EventSettings(Section):
    """The event log."""

    kept_days: Positive = 30.0


class WebhookSettings(Section):
    """Webhooks, and which addresses beside public ones they may be sent to."""

    inside_networks: tuple[IPvAnyNetwork, ...] = ()
    timeout_s: Positive = 10.0
    attempts_count: Count = 10
    give_up_days: Positive = 5.0
    limit_count: Count = 20


class AuditSettings(Section):
    """The audit log."""

    checkpoint_period_s: Positive = 60.0


class BackgroundSettings(Section):
    """Off switches, for emergencies: names of background tasks that shall not run."""

    disabled: tuple[str, ...] = ()


class Settings(BaseSettings):
    """Everything an operator can choose."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_ignore_empty=True
    )

    gateway: GatewaySettings = GatewaySettings()
    api: ApiSettings = ApiSettings()
    login: LoginSettings = LoginSettings()
    oidc: OidcSettings = OidcSettings()
    database: DatabaseSettings = DatabaseSettings()
    queue: QueueSettings = QueueSettings()
    provision: ProvisionSettings = ProvisionSettings()
    log: LogSettings = LogSettings()
    network: NetworkSettings = NetworkSettings()
    routing: RoutingSettings = RoutingSettings()
    probe: ProbeSettings = ProbeSettings()
    tunnel: TunnelSettings = TunnelSettings()
    relays: RelayCareSettings = RelayCareSettings()
    clouds: CloudSettings = CloudSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    handshake: HandshakeSettings = HandshakeSettings()
    passages: PassageSettings = PassageSettings()
    orders: OrderSettings = OrderSettings()
    leases: LeaseSettings = LeaseSettings()
    pools: PoolSettings = PoolSettings()
    events: EventSettings = EventSettings()
    webhooks: WebhookSettings = WebhookSettings()
    audit: AuditSettings = AuditSettings()
    background: BackgroundSettings = BackgroundSettings()

    file: ClassVar[Path | None] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # fixed by pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # fixed by pydantic-settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, strongest first: arguments, environment, file."""
        sources = [init_settings, env_settings]
        if cls.file is not None:
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=cls.file))
        return tuple(sources)

    @property
    def database_url(self) -> str:
        """Return the SQLAlchemy URL of the database."""
        return self.database.url or f"sqlite:///{(self.gateway.state_dir / 'crossway.sqlite3').absolute()}"


def load(path: Path | None) -> Settings:
    """Return the settings of ``path`` (None: defaults and environment only).

    Raises InvalidSettings that lists every wrong key with its path, what was given and what would be right.
    """
    _refuse_unknown_variables()
    if path is not None and not path.is_file():
        raise InvalidSettings(f"the settings file {path} does not exist", fix="give --config an existing TOML file")
    reader: type[Settings] = type("FileSettings", (Settings,), {"file": path, "__module__": __name__})
    try:
        return reader()
    except ValidationError as error:
        raise InvalidSettings(_explain(error, path), fix="config/crossway.toml lists every setting") from None
    except SettingsError as error:
        # Before ValueError, which it is: a whole table or list comes as JSON in one variable.
        fix = f"JSON, such as {PREFIX}HANDSHAKE{DELIMITER}ACCEPT='[\"*/size\"]'"
        raise InvalidSettings(f"an environment variable does not parse: {error}", fix=fix) from None
    except ValueError as error:  # tomllib's own: not TOML at all
        raise InvalidSettings(f"{path} is not valid TOML: {error}", fix="see https://toml.io") from None


def _refuse_unknown_variables() -> None:
    """Raise InvalidSettings for what only looks like a setting: pydantic ignores a table that it does not know.

    Only names with a double underscore are looked at; without one they are the command line's, or a whole table.
    """
    known = set(_variables(Settings, PREFIX))
    faults = []
    for name, value in sorted(os.environ.items()):
        path = name.upper()
        if value and path.startswith(PREFIX) and DELIMITER in path.removeprefix(PREFIX) and path not in known:
            near = difflib.get_close_matches(path, known, n=1)
            faults.append(
                f"environment variable {name} names no setting" + (f" (did you mean {near[0]}?)" if near else "")
            )
    if faults:
        raise InvalidSettings("; ".join(faults), fix="config/crossway.toml lists every setting; or unset it")


def _variables(table: type[BaseModel], before: str) -> Iterator[str]:
    for name, field in table.model_fields.items():
        yield before + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _variables(field.annotation, before + name.upper() + DELIMITER)


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
        variable = PREFIX + DELIMITER.join(str(part).upper() for part in problem["loc"])
        source = f"environment variable {variable}" if variable in os.environ else str(path or "the defaults")
        lines.append(f"{where}: {_say(problem)} (in {source})")
    return "; ".join(lines)


def _say(problem: Any) -> str:
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"])
    *before, name = problem["loc"]
    near = difflib.get_close_matches(str(name), _names(before), n=1)
    return "there is no such setting" + (f" (did you mean {near[0]}?)" if near else "")


def _names(place: Sequence[str | int]) -> list[str]:
    """Return the names known in the table at ``place``, empty where there is no table."""
    table: Any = Settings
    for part in place:
        # A number is an element's place in a tuple[Table, ...].
        table = get_args(table)[0] if isinstance(part, int) else table.model_fields[part].annotation
    return list(getattr(table, "model_fields", ()))
