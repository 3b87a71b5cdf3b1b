"""What the catalog needs from the world, each as a small protocol; ``drivers`` and ``gateway`` implement them.

Every implementation, in-memory ones included, passes the suite of the same name in ``tests/contracts``.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from catalog.messages.contracts import Message
from catalog.messages.handshake import AuthorizationRequest, Decision, ServiceInformation
from catalog.messages.queue import DeadLetter
from catalog.model.ids import PlatformId
from catalog.secrets import Secret


class Clock(Protocol):
    """The only source of wall time."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch (UTC)."""
        ...


class Checkpoint(Protocol):
    """Told of every step of a saga as it passes; production ignores it, crash tests die at it."""

    def reached(self, step: str) -> None:
        """Note that ``step`` (such as ``connect.tunnel.begin``) was reached. Returns at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host (name or IP literal) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedEndpoint:
    """A URL that an admin approved, with the address to dial for it.

    ``ca_pem`` is the only authority trusted for it when given; otherwise the system's are.
    """

    url: str
    dial: Address
    ca_pem: str | None = None


class Dialer(Protocol):
    """Reach approved addresses of one platform through its tunnel. Thread-safe; called from driver threads."""

    def dial(self, address: Address, *, timeout_s: float) -> socket.socket:
        """Return a connected, blocking stream socket to ``address`` as seen from the end of the tunnel.

        Raises CloudUnavailable when there is no tunnel or the far end refuses, CloudTimedOut after ``timeout_s``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCall:
    """One HTTP request as it is to arrive: nothing but Content-Length and a missing Host is added to ``headers``.

    ``timeout_s`` bounds the wait for the answer's head, and for each further piece of its body. ``repeatable``: sent
    twice it does no more than sent once, so that it may be.
    """

    method: str
    url: str  # absolute, of the endpoint it is sent to, percent-encoded as it shall be sent
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout_s: float = 30.0
    repeatable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """The head of an answer, as it came, and its body as it comes: not decompressed, to be read once.

    Reading ``body`` raises CloudTimedOut when it stalls or breaks off.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: AsyncIterator[bytes] = field(repr=False)


class Carrier(Protocol):
    """Carry HTTP to approved endpoints of a platform through its tunnel."""

    def send(
        self, platform: PlatformId, endpoint: ApprovedEndpoint, call: HttpCall
    ) -> AbstractAsyncContextManager[HttpAnswer]:
        """Return the answer to ``call``, whatever its status; the connection is let go of when the context is left.

        Redirects are answers like any other. A repeatable call is repeated where that helps; any other is sent at
        most once. Entering raises CloudUnavailable (nothing was done), CloudTimedOut (the outcome is *unknown*, where
        the call is not repeatable), CertificateRefused, DialRefused (the URL is not the endpoint's) and
        CloudMisbehaved (the answer is no HTTP).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageCall:
    """One call of a platform's own API, as the holder of a passage made it.

    ``address`` is the passage's URL as the caller knows it, without a slash at its end; ``path``, percent-encoded as it
    came, is what followed it.
    """

    method: str
    address: str
    path: str
    query: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call is, in the platform's own words, and the grant that it needs: none at all if ``capability`` is "".

    ``is_local``: answered by the gateway itself, nothing is sent to the platform.
    """

    what: str
    capability: str = ""
    verb: str = ""
    is_local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageTerms:
    """One passage: its id, its URL as its holder knows it, the secret that only its holder has, and its limits."""

    passage: str
    address: str
    secret: Secret
    region: str
    expires_at_s: float
    call_timeout_s: float = 60.0
    answer_limit_bytes: int = 64 * 1024 * 1024


class NativePassage(Protocol):
    """A platform's own API, as the holder of one passage may use it with credentials that work nowhere else."""

    def environment(self) -> Mapping[str, str]:
        """Return what the platform's own clients read from their environment to use this passage. Holds its secret."""
        ...

    def is_from_holder(self, call: PassageCall) -> bool:
        """Whether ``call`` proves itself by this passage's secret, or is one that the platform asks no proof for."""
        ...

    def asked(self, call: PassageCall) -> Asked:
        """Return what ``call`` is. Pure. Raises Denied for whatever is not known to be covered by a capability."""
        ...

    def send(self, call: PassageCall) -> AbstractAsyncContextManager[HttpAnswer]:
        """Return the answer to ``call``, which ``asked`` let pass, its links leading through the passage again.

        Entering and reading raise CloudError; what may not be repeated is sent at most once.
        """
        ...

    def refusal(self, call: PassageCall, *, status: int, message: str) -> HttpAnswer:
        """Return ``message`` as the platform itself would put it, so that its own clients show it."""
        ...


class PlatformLink(Protocol):
    """Speak to a platform's connector, over the tunnel, in signed messages (S1 steps 9-12).

    Raises CloudUnavailable, CloudTimedOut, CloudRefused (the connector does not know this gateway, platform or
    clock), CertificateRefused or CloudMisbehaved (bad signature, wrong shape, too large).
    """

    async def service_information(self) -> ServiceInformation:
        """Return what the platform's owner says it has. May be repeated."""
        ...

    async def authorize(self, request: AuthorizationRequest) -> Decision:
        """Put ``request`` to the owner. The same request id gets the same decision."""
        ...


class MessageQueue(Protocol):
    """Durable, at-least-once messages between the applications."""

    async def prepare(self) -> None:
        """Make sure that messages have where to wait; comes first. Raises QueueUnavailable."""
        ...

    async def close(self) -> None:
        """Give back what it holds; comes last."""
        ...

    async def publish(self, topic: str, message: Message) -> None:
        """Return once ``message`` is durable. Raises QueueUnavailable: it may be there or not, publish it again.

        A message that is published twice may be delivered twice: each side's inbox lets it take effect once.
        """
        ...

    async def consume(self, topic: str, handle: Callable[[Message], Awaitable[None]], *, concurrency: int = 4) -> None:
        """Hand every message of ``topic`` to ``handle`` until cancelled.

        A message is forgotten only after ``handle`` returned; when it raised, the message comes again later
        (with a growing pause, at most ``redelivery_limit`` times; then it is kept as dead with the reason). One whose
        handlers die with their process comes again too, and is given up as often.
        """
        ...

    async def dead_letters(self, topic: str) -> Sequence[DeadLetter]:
        """Return what was given up in ``topic``, oldest first. Raises QueueUnavailable."""
        ...

    async def forget_done(self, before_s: float) -> int:
        """Forget what was handled before ``before_s``, as far as it is kept, and return how much. May be repeated."""
        ...

    async def revive(self, topic: str, message_id: str) -> bool:
        """Deliver a dead letter again as if it were new; False when there is no such. Raises QueueUnavailable."""
        ...


class WebhookSender(Protocol):
    """Tells a receiver that a stranger named."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """POST ``body`` once, follow no redirect, and return the answer's status; its body is nobody's business.

        Raises ReceiverUnreachable, also for an address that may not be called. Bounds its own time. May be repeated:
        receivers recognise what they have had by its id.
        """
        ...


class KeyProvider(Protocol):
    """Key-encryption keys for sealing credentials."""

    def current(self) -> tuple[str, bytes]:
        """Return the id and the 32 bytes of the key that new seals use."""
        ...

    def by_id(self, key_id: str) -> bytes:
        """Return the 32 bytes of ``key_id``. Raises SealBroken when it is not known."""
        ...
