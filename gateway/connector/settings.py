"""The connector's TOML file: who may ask, what the platform has, and what its owner grants.

Read once at the start and again on SIGHUP. Every mistake is reported at once, each with its key and what would be
right; an unknown key is a mistake, because a misspelt ``quota`` must not mean "unlimited".
"""

import base64
import difflib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from catalog.destinations import destinations
from catalog.errors import InvalidValue
from catalog.messages.handshake import BY_NAME_ONLY, CAPABILITY_VERBS, OF_ASSETS, Capability, ServiceInformation
from catalog.messages.handshake_shapes import Calls, Count, Key, Lasting, OptionalText, ScopeShape, Text
from catalog.messages.quorum import Quorum
from catalog.model.terms import EndRule, Scope
from gateway.connector.outward import DialOutTable, GatewayTable, JoinTable, Outward, Table, outward
from gateway.connector.policy import Policy, Rule, Verdict

_ED25519_KEY_BYTES = 32
_LISTEN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_LAST_PORT = 65_535
_TEN_YEARS_S = 10 * 365 * 86_400.0

CapabilityName = Literal[
    "machine", "image", "size", "location", "network", "key-pair", "volume", "container", "zone", "balancer", "forward"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSettings:
    """The file as values. Paths are absolute; ``listen`` is ``host:port`` or ``fd:N`` (an inherited socket)."""

    listen: str
    platform: str
    key_file: Path
    gateway_key: str  # base64 of the 32 bytes of the gateway's public key
    state_file: Path
    tls_cert_file: Path | None
    tls_key_file: Path | None
    policy: Policy
    outward: Outward = field(default_factory=Outward)


class _ConnectorTable(Table):
    listen: str
    platform: Text
    key_file: Text
    gateway_key: Text
    state_file: Text
    tls_cert_file: Text | None = None
    tls_key_file: Text | None = None

    @field_validator("listen")
    @classmethod
    def _an_address(cls, text: str) -> str:
        if not _LISTEN.fullmatch(text) or int(text.rpartition(":")[2]) > _LAST_PORT:
            raise ValueError('must be "host:port" or "fd:N", such as "127.0.0.1:8790"')
        return text

    @field_validator("gateway_key")
    @classmethod
    def _a_public_key(cls, text: str) -> str:
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:
            raw = b""
        if len(raw) != _ED25519_KEY_BYTES:
            raise ValueError("must be the base64 of a 32-byte Ed25519 public key, as the gateway prints it")
        return text

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together: give both or neither")
        return self


class _ServiceTable(Table):
    provider: Text
    region: OptionalText = ""
    services: Annotated[list[CapabilityName], Field(min_length=1)]
    facts: Annotated[dict[Text, OptionalText], Field(default_factory=dict, max_length=64)]


class _QuorumTable(Table):
    need: Annotated[int, Field(ge=1, le=16)]
    of: Annotated[list[Key], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if len(set(self.of)) < len(self.of) or self.need > len(self.of):
            raise ValueError("need must be at most as many as there are keys in of, each of them once")
        return self


class _RuleTable(Table):
    decision: Literal["grant", "deny", "ask"]
    # None = every verb of the capability but those that have to be named
    verbs: Annotated[list[str], Field(min_length=1)] | None = None
    quota: Count | None = None
    cores: Count | None = None
    memory_gib: Count | None = None
    calls_per_minute: Calls | None = None
    on_end: Literal["keep", "drain", "destroy"] | None = None
    wind_down_s: Lasting | None = None
    scope: ScopeShape | None = None
    expires_after_s: Annotated[float, Field(gt=0, le=_TEN_YEARS_S)] | None = None
    expires_at: AwareDatetime | None = None
    destinations: Annotated[list[str], Field(min_length=1)] | None = None
    approvals: _QuorumTable | None = None

    @field_validator("destinations")
    @classmethod
    def _are_destinations(cls, texts: list[str] | None) -> list[str] | None:
        try:
            return None if texts is None else list(destinations(texts))
        except InvalidValue as error:
            raise ValueError(f"{error}; {error.fix}") from error

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_after_s is not None and self.expires_at is not None:
            raise ValueError("give expires_after_s or expires_at, not both")
        if self.approvals is not None and self.decision != "ask":
            raise ValueError('approvals go with decision = "ask": they are the answer')
        if self.wind_down_s is not None and self.on_end is None:
            raise ValueError("wind_down_s is missing its on_end; say what becomes of machines: keep, drain or destroy")
        return self


class _File(Table):
    connector: _ConnectorTable
    service: _ServiceTable
    policy: dict[CapabilityName, _RuleTable] = Field(default_factory=dict)
    gateway: GatewayTable | None = None
    dial_out: DialOutTable | None = None
    join: Annotated[list[JoinTable], Field(default_factory=list, max_length=64)]

    @model_validator(mode="after")
    def _announces(self) -> Self:
        if (self.dial_out is not None or self.join) and self.gateway is None:
            raise ValueError(
                'gateway: is missing; to dial out or to join, say where the gateway is: url = "https://..."'
            )
        return self

    @model_validator(mode="after")
    def _rules_fit(self) -> Self:
        faults = [fault for name, rule in self.policy.items() for fault in _misfits(name, rule, self.service.services)]
        if faults:
            raise ValueError("\n".join(faults))
        return self


def _misfits(name: CapabilityName, rule: _RuleTable, services: Sequence[str]) -> list[str]:
    """Return what is wrong with ``rule`` beyond its types, as lines that begin with the key."""
    allowed = CAPABILITY_VERBS[Capability(name)]
    faults = [
        f"policy.{name}.verbs: {verb!r} is not a verb of {name}; choose from {', '.join(allowed)}"
        for verb in rule.verbs or ()
        if verb not in allowed
    ]
    if rule.decision != "deny" and name not in services:
        faults.append(f"policy.{name}: {name} is not in service.services; add it there or deny it")
    if name != "machine":
        faults += _not_of_machines(name, rule)
    if (rule.destinations is not None) != (name == "forward") and rule.decision != "deny":
        right = "is missing; say where may be forwarded to" if name == "forward" else "is for forward only; remove it"
        faults.append(f"policy.{name}.destinations: {right}")
    return faults


def _not_of_machines(name: CapabilityName, rule: _RuleTable) -> list[str]:
    """Return what is wrong with a rule that is not about machines: what it may say depends on whether it makes any."""
    counted = {"cores": rule.cores, "memory_gib": rule.memory_gib}
    if Capability(name) in OF_ASSETS:
        odd = [kind for kind in ("sizes", "images", "networks") if rule.scope and getattr(rule.scope, kind)]
        return [
            f"policy.{name}.{key}: only machines are counted so; remove it" for key, has in counted.items() if has
        ] + [f"policy.{name}.scope.{kind}: only machines have {kind}; remove it" for kind in odd]
    counted["quota"] = rule.quota
    return [
        *(f"policy.{name}.{key}: only machines are counted; remove it" for key, value in counted.items() if value),
        *([f"policy.{name}.scope: only machines have a scope; remove it"] if rule.scope else []),
        *([f"policy.{name}.on_end: only machines are left at the end; remove it"] if rule.on_end else []),
    ]


def read_settings(path: Path) -> ConnectorSettings:
    """Return the settings in ``path``; relative paths in it are taken from its directory.

    Raises InvalidValue whose text has one line per mistake: the key, what is wrong, what would be right.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}", field=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{path} is not TOML: {error}", field=str(path)) from error
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        lines = [line for detail in error.errors() for line in _explained(detail)]
        raise InvalidValue("\n".join([f"{path}:", *lines]), field=lines[0].split(":")[0]) from error
    return _settings(file, path.absolute().parent)


def _settings(file: _File, directory: Path) -> ConnectorSettings:
    table = file.connector
    service = file.service
    return ConnectorSettings(
        listen=table.listen,
        platform=table.platform,
        key_file=directory / table.key_file,
        gateway_key=table.gateway_key,
        state_file=directory / table.state_file,
        tls_cert_file=directory / table.tls_cert_file if table.tls_cert_file else None,
        tls_key_file=directory / table.tls_key_file if table.tls_key_file else None,
        policy=Policy(
            service=ServiceInformation(
                provider=service.provider,
                region=service.region,
                services=tuple(service.services),
                facts=dict(service.facts),
            ),
            rules={name: _rule(name, rule) for name, rule in file.policy.items()},
        ),
        outward=outward(file.gateway, file.dial_out, file.join, directory, listen=table.listen),
    )


def _rule(name: CapabilityName, table: _RuleTable) -> Rule:
    verbs = CAPABILITY_VERBS[Capability(name)]
    return Rule(
        verdict=Verdict(table.decision),
        # In the order of CAPABILITY_VERBS and each once, whatever the file says: equal rules give equal answers.
        verbs=tuple(verb for verb in verbs if _is_given(name, verb, table.verbs)),
        quota=table.quota,
        expires_after_s=table.expires_after_s,
        expires_at_s=table.expires_at.timestamp() if table.expires_at else None,
        destinations=tuple(table.destinations or ()),
        scope=table.scope.scope() if table.scope else Scope(),
        cores=table.cores,
        memory_gib=table.memory_gib,
        calls_per_minute=table.calls_per_minute,
        on_end=EndRule(table.on_end) if table.on_end else None,
        quorum=Quorum(need=table.approvals.need, of=tuple(table.approvals.of)) if table.approvals else None,
        wind_down_s=table.wind_down_s,
    )


def _is_given(name: CapabilityName, verb: str, named: Sequence[str] | None) -> bool:
    return (Capability(name), verb) not in BY_NAME_ONLY if named is None else verb in named


def _explained(detail: ErrorDetails) -> list[str]:
    """Return lines ``key: what is wrong; what would be right`` for one of pydantic's findings."""
    place = [str(part) for part in detail["loc"] if part != "[key]"]
    key = ".".join(place)
    if detail["type"] == "extra_forbidden":
        return [f"{key}: there is no such key{_near(place)}"]
    if detail["type"] == "missing":
        return [f"{key}: is missing"]
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if detail["type"] == "value_error" and not place:
        return message.split("\n")  # from _rules_fit: these lines name their keys themselves
    return [f"{key}: {message}"]


def _near(place: Sequence[str]) -> str:
    """Return ``; known here: …``, and the likeliest spelling first, for the unknown key at ``place``."""
    tables: dict[tuple[int, str], Any] = {
        (1, ""): _File,
        (2, "connector"): _ConnectorTable,
        (2, "service"): _ServiceTable,
        (2, "gateway"): GatewayTable,
        (2, "dial_out"): DialOutTable,
        (2, "join"): JoinTable,
        (3, "policy"): _RuleTable,
        (4, "policy"): ScopeShape,
    }
    table = tables.get((len(place), place[0] if len(place) > 1 else ""))
    if table is None:
        return ""
    known = list(table.model_fields)
    likely = difflib.get_close_matches(place[-1], known, n=1)
    return (f"; did you mean {likely[0]}?" if likely else ";") + f" Known here: {', '.join(known)}"
