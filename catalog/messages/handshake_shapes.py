"""The strict shapes of the handshake's messages, limits and all: what is not of them passes nowhere. Pure."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from catalog.messages.handshake import AuthorizationRequest, ServiceInformation
from catalog.messages.quorum import Approval, Approvals, Quorum, is_key
from catalog.model.terms import Scope


def _printable(text: str) -> str:
    # isprintable is false for every control, format (bidi, zero width), surrogate and line-breaking character.
    if not text.isprintable():
        raise ValueError("holds unprintable characters")
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
OptionalText = Annotated[str, StringConstraints(max_length=500), AfterValidator(_printable)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Nonce = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,128}$")]
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
Names = Annotated[list[Name], Field(max_length=64)]
Verbs = Annotated[list[Name], Field(min_length=1, max_length=64)]
Serial = Annotated[int, Field(ge=1, lt=2**53)]  # so that every JSON reader takes it whole
Instant = Annotated[float, Field(gt=0, lt=1e11)]  # epoch seconds, before the year 5138


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class InformationShape(_Shape):
    """What a platform says it has."""

    provider: Text
    region: OptionalText
    services: Names
    facts: Annotated[dict[Text, OptionalText], Field(max_length=64)] = {}

    def information(self) -> ServiceInformation:
        """Return it as the rest of the catalog has it."""
        return ServiceInformation(
            provider=self.provider, region=self.region, services=tuple(self.services), facts=dict(self.facts)
        )


class RequestShape(_Shape):
    """What the gateway asks for, by capability."""

    request_id: RequestId
    platform: Text
    gateway: Text
    service_information: InformationShape
    wanted: Annotated[dict[Name, Verbs], Field(min_length=1, max_length=64)]


class Question(_Shape):
    """What the gateway signs to ask for the service information."""

    nonce: Nonce
    gateway: Text
    platform: Text
    issued_at_s: Instant


class AuthorizationQuestion(Question):
    """What the gateway signs to ask for capabilities."""

    request: RequestShape

    def authorization_request(self) -> AuthorizationRequest:
        """Return the request as the value that policies decide on."""
        shape = self.request
        return AuthorizationRequest(
            request_id=shape.request_id,
            platform=shape.platform,
            gateway=shape.gateway,
            service_information=shape.service_information.information(),
            wanted={capability: tuple(verbs) for capability, verbs in shape.wanted.items()},
        )


class AnswerShape(BaseModel):
    """What every answer of a connector has."""

    # Unknown fields of an answer are ignored, so that a newer connector can speak to an older gateway.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    nonce: Nonce


class InformationAnswer(AnswerShape):
    """A connector's answer to what the platform has."""

    service_information: InformationShape


Patterns = Annotated[list[Text], Field(max_length=64)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
# Fewer would not let an offer be proved and read.
Calls = Annotated[int, Field(ge=10, le=1_000_000)]
Lasting = Annotated[float, Field(gt=0, le=10 * 366 * 86_400.0)]  # ten years


class ScopeShape(_Shape):
    """Which machines a grant is for, see ``catalog.model.terms.Scope``."""

    regions: Patterns = []
    sizes: Patterns = []
    images: Patterns = []
    networks: Patterns = []
    projects: Patterns = []

    def scope(self) -> Scope:
        """Return the scope as the value that orders are held against."""
        return Scope(**{kind: tuple(patterns) for kind, patterns in self})


def _key(text: str) -> str:
    if not is_key(text):
        raise ValueError("must be the base64 of a 32-byte Ed25519 public key, as `approver-key` prints it")
    return text


Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$"), AfterValidator(_key)]
Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class _ApprovalShape(_Shape):
    key: Key
    signature: Signature


class ApprovalsShape(_Shape):
    """How many approvals it takes, whose, and which were given; see ``catalog.messages.quorum``."""

    need: Annotated[int, Field(ge=1, le=16)]
    of: Annotated[list[Key], Field(min_length=1, max_length=16)]
    given: Annotated[list[_ApprovalShape], Field(max_length=16)] = []

    def approvals(self) -> Approvals:
        """Return the value."""
        given = tuple(Approval(key=each.key, signature=each.signature) for each in self.given)
        return Approvals(quorum=Quorum(need=self.need, of=tuple(self.of)), given=given)


class GrantedShape(_Shape):
    """One granted capability as it is signed; its terms are ``catalog.model.terms.Terms``."""

    capability: Name
    verbs: Verbs
    quota: Count | None = None
    expires_at_s: Instant | None = None
    destinations: Annotated[list[Text], Field(max_length=64)] = []
    # An older gateway knows none of these and refuses an answer that has one: it could not keep to it.
    scope: ScopeShape = ScopeShape()
    cores: Count | None = None
    memory_gib: Count | None = None
    calls_per_minute: Calls | None = None
    on_end: Literal["keep", "drain", "destroy"] | None = None
    wind_down_s: Lasting | None = None
    approvals: ApprovalsShape | None = None


class DecisionAnswer(AnswerShape):
    """A connector's answer to what is asked for."""

    request_id: RequestId
    granted: Annotated[list[GrantedShape], Field(max_length=64)]
    pending: Names
    # Told together or, by an older connector, not at all: whose answer this is, to whom, when and after which.
    platform: Text | None = None
    gateway: Text | None = None
    issued_at_s: Instant | None = None
    serial: Serial | None = None
