"""What the connector's file says about going out: where the gateway's API is, and to which relays to dial.

Only for platforms that cannot be dialled, or that use what others grant. What is not named here is reached by nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import asyncssh
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from catalog import addresses
from catalog.errors import InvalidValue
from catalog.messages.handshake_shapes import Text
from catalog.ports import Address
from gateway.client.address import AddressInvalid, ServerAddress, parse_address

_PORT = Annotated[int, Field(ge=1, le=65_535)]
DESTINATIONS_LIMIT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAccess:
    """The gateway's API. ``ca_pem`` None: the system's authorities prove it."""

    server: ServerAddress
    ca_pem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAccess:
    """A relay that lets the connector in. ``host_key`` is the only key it may show."""

    name: str
    address: Address
    user: str
    host_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOut:
    """To which relays the connector dials, and what it brings along: announced name -> what it connects to here."""

    key_file: Path
    relays: tuple[RelayAccess, ...]
    targets: Mapping[str, Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A local port that leads to what another platform granted; whoever reaches ``listen`` is served."""

    listen: Address
    platform: str
    to: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Outward:
    """Everything that the connector does by itself rather than when asked."""

    gateway: GatewayAccess | None = None
    dial_out: DialOut | None = None
    joins: tuple[Join, ...] = ()


class Table(BaseModel):
    """A table of the file: exact types, no unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class GatewayTable(Table):
    """``[gateway]``."""

    url: str
    ca_file: Text | None = None

    @field_validator("url")
    @classmethod
    def _a_server(cls, text: str) -> str:
        try:
            parse_address(text)
        except AddressInvalid as error:
            raise ValueError(str(error)) from error
        return text


class RelayTable(Table):
    """``[[dial_out.relays]]``."""

    name: Text
    host: str
    port: _PORT = 22
    user: Text
    host_key: str

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            addresses.host(self.host, field="host")
            addresses.ssh_public_key(self.host_key, field="host_key")
        except InvalidValue as error:
            raise ValueError(f"{error.field}: {error}; {error.fix}") from error
        return self


class DialOutTable(Table):
    """``[dial_out]``."""

    key_file: Text
    api: str | None = None
    destinations: Annotated[list[str], Field(max_length=DESTINATIONS_LIMIT)] = []
    relays: Annotated[list[RelayTable], Field(min_length=1, max_length=16)]

    @field_validator("api")
    @classmethod
    def _an_address(cls, text: str | None) -> str | None:
        return None if text is None else str(_address(text))

    @field_validator("destinations")
    @classmethod
    def _are_addresses(cls, texts: list[str]) -> list[str]:
        return [str(_address(text)) for text in texts]

    @model_validator(mode="after")
    def _each_relay_once(self) -> Self:
        if len({relay.name for relay in self.relays}) < len(self.relays):
            raise ValueError("relays: a name stands twice; name each relay once, as the gateway's admin calls it")
        return self


class JoinTable(Table):
    """``[[join]]``."""

    listen: str
    platform: Text
    to: str

    @field_validator("listen", "to")
    @classmethod
    def _an_address(cls, text: str) -> str:
        return str(_address(text))


def outward(
    gateway: GatewayTable | None,
    dial_out: DialOutTable | None,
    joins: Sequence[JoinTable],
    directory: Path,
    *,
    listen: str,
) -> Outward:
    """Return the tables as values; relative paths are taken from ``directory``, ``listen`` is the connector's own.

    Raises InvalidValue when the authority cannot be read.
    """
    return Outward(
        gateway=None
        if gateway is None
        else GatewayAccess(server=parse_address(gateway.url), ca_pem=_ca_pem(gateway, directory)),
        dial_out=None if dial_out is None else _dial_out(dial_out, directory, listen),
        joins=tuple(Join(listen=_address(each.listen), platform=each.platform, to=_address(each.to)) for each in joins),
    )


def _ca_pem(table: GatewayTable, directory: Path) -> str | None:
    if table.ca_file is None:
        return None
    try:
        text = (directory / table.ca_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(
            "gateway.ca_file: cannot be read", field="gateway.ca_file", fix="a PEM certificate"
        ) from error
    return addresses.authority(text, field="gateway.ca_file")


def _dial_out(table: DialOutTable, directory: Path, listen: str) -> DialOut:
    own = {} if listen.startswith("fd:") else {"connector": _listening(listen)}
    api = {} if table.api is None else {"api": _address(table.api)}
    return DialOut(
        key_file=directory / table.key_file,
        relays=tuple(
            RelayAccess(
                name=each.name,
                address=Address(host=each.host, port=each.port),
                user=each.user,
                host_key=asyncssh.import_public_key(each.host_key).export_public_key().decode().strip(),
            )
            for each in table.relays
        ),
        targets={**own, **api, **{text: _address(text) for text in table.destinations}},
    )


def _listening(listen: str) -> Address:
    host, _, port = listen.rpartition(":")
    bare = host.strip("[]")
    return Address(host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare, bare), port=int(port))  # noqa: S104


def _address(text: str) -> Address:
    try:
        return addresses.address(text, field="address")
    except InvalidValue as error:
        raise ValueError(f"{text!r} is not an address; {error.fix}") from error
