"""The grammar of what goes in and out: strict models, bounded texts and numbers, ISO times.

Request models refuse unknown fields and never convert: ``"5"`` is not a number. Every text has a greatest length and
every number has bounds, so that nothing odd travels further than this edge. Answer models list their fields one by
one; no row is ever serialised as it is.
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr, WithJsonSchema
from pydantic.config import JsonDict

from catalog.model.rows import Row
from catalog.store import rows

# No control characters, no line or paragraph separators, no direction overrides: these texts end up in terminals.
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"

NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"  # no underscore, so that no name can pass for an id
Name = Annotated[str, Field(pattern=NAME, max_length=63)]
Reference = Annotated[str, Field(pattern=REFERENCE, max_length=128)]  # a name or an id
PROJECT_REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(/[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?)?$"
ProjectReference = Annotated[str, Field(pattern=PROJECT_REFERENCE, max_length=192)]  # ORGANISATION/PROJECT or an id
Line = Annotated[str, Field(pattern=PRINTABLE, max_length=256)]
Word = Annotated[str, Field(pattern=PRINTABLE, min_length=1, max_length=256)]
# Parameters in whose place ORGANISATION/PROJECT may stand; a holder is a project or an organisation.
PROJECT_PARAMETERS = frozenset({"project", "holder"})
Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=1024)]
HostPort = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\[\]:_-]+:[0-9]{1,5}$", max_length=262)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Pem = Annotated[str, Field(pattern=r"^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s-]+$", max_length=65_536)]
HostKey = Annotated[str, Field(max_length=16_384, description="One OpenSSH public key line; pinned, never learnt.")]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Price = Annotated[float, Field(ge=0, le=1_000_000)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Risk = Annotated[float, Field(ge=0, le=1_000_000)]
Capacity = Annotated[float, Field(gt=0, le=1_000_000_000)]
Count = Annotated[int, Field(ge=0, le=10_000)]
Lifetime = Annotated[float, Field(gt=0, le=366 * 86_400)]
SecretIn = Annotated[SecretStr, Field(min_length=1, max_length=16_384)]
AddressesFrom = Annotated[dict[Name, HostPort], Field(max_length=256)]
RiskGroups = Annotated[list[Word], Field(max_length=16)]
OptionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", max_length=63)]
Options = Annotated[dict[OptionName, Line], Field(max_length=32)]


def iso(at_s: float) -> str:
    """Return epoch seconds as ``2026-01-01T00:00:00Z`` (UTC, milliseconds only where there are some)."""
    at = datetime.fromtimestamp(at_s, UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds").replace("+00:00", "Z")  # noqa: PLR2004 a millisecond


Time = Annotated[
    float,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]}),
]


class Body(BaseModel):
    """What a client sends: nothing unknown, nothing converted, no NaN, and no input repeated in errors."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        regex_engine="rust-regex",
    )


def _without_default(schema: JsonDict) -> None:
    schema.pop("default", None)


def absent() -> Any:
    """Return the default of a field of a change: left out, and not null, means that it stays as it is."""
    return Field(default=None, json_schema_extra=_without_default)


class Nothing(Body):
    """An empty object; the body may as well be left out."""


class Out(BaseModel):
    """What a client gets; handlers fill it field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resource(Out):
    """A single thing with a version, which is its ETag."""

    id: str
    version: int = Field(description="Grows with every change; the ETag of this resource.")
    created_at: Time
    updated_at: Time

    def tag(self) -> str:
        """Return the ETag without its quotes; it begins with the version."""
        return str(self.version)


class Composite(Resource):
    """A resource that also shows what other rows hold, so its version alone does not tell whether it changed."""

    def tag(self) -> str:
        """Return version and digest: If-None-Match compares all of it, If-Match only the version."""
        return f"{self.version}-{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]}"


class Stamp(TypedDict):
    """What every Resource starts with."""

    id: str
    version: int
    created_at: float
    updated_at: float


def stamp(row: Row) -> Stamp:
    """Return what ``row`` and every other resource has in common."""
    return Stamp(id=str(rows.key(row)), version=row.version, created_at=row.created_at_s, updated_at=row.updated_at_s)
