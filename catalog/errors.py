"""What can be wrong in the catalog's world, named for the state of that world.

Each class has a stable ``code``, says whether the same call may succeed later (``retryable``), and
keeps apart the text for the caller (``str(error)``) and the detail for the operator (``detail``).
No error text may hold a credential or bytes that a remote side sent.
"""

from typing import ClassVar


class CatalogError(Exception):
    """The root of every error that leaves ``catalog`` or one of its ports."""

    code: ClassVar[str] = "catalog-error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, fix: str | None = None, detail: str = "") -> None:
        """Describe what is wrong (``message``), where (``field``) and what would be right (``fix``)."""
        super().__init__(message)
        self.field = field
        self.fix = fix
        self.detail = detail


class NotFound(CatalogError):
    """There is no such thing, or the caller may not know of it."""

    code = "not-found"


class AlreadyExists(CatalogError):
    """Another thing holds the name or key that was asked for."""

    code = "already-exists"


class WrongState(CatalogError):
    """The thing exists, but its present state does not allow what was asked."""

    code = "wrong-state"


class Stale(CatalogError):
    """The thing was changed since the caller read it (its version moved on)."""

    code = "stale"


class Denied(CatalogError):
    """The caller is known and may not do this."""

    code = "denied"


class InvalidValue(CatalogError):
    """A value cannot be what was given; ``field`` names it and ``fix`` says what would be right."""

    code = "invalid-value"


class EventsForgotten(CatalogError):
    """Some of the events that were asked for are older than what is kept: the reader has missed them."""

    code = "events-forgotten"


class ChainBroken(CatalogError):
    """An audit log is not as it was written; ``seq`` is the first bad record."""

    code = "chain-broken"

    def __init__(self, seq: int, message: str) -> None:
        """Say which record is the first bad one, and what is wrong with it."""
        super().__init__(message)
        self.seq = seq


class PassageEnded(CatalogError):
    """The passage was closed, its token revoked, its grant ended or its time is over; what ran in it was cut."""

    code = "passage-ended"


class TooManyCalls(CatalogError):
    """So many calls run in this passage at once that another one has to wait."""

    code = "too-many-calls"
    retryable = True


class QuotaExceeded(CatalogError):
    """A grant's or tenant's quota is used up."""

    code = "quota-exceeded"


class BudgetExceeded(CatalogError):
    """An order does not fit into what a project or organisation may spend this month."""

    code = "budget-exceeded"


class QueueUnavailable(CatalogError):
    """The message queue cannot be reached, or has not confirmed: what was published may be there or not."""

    code = "queue-unavailable"
    retryable = True


class LeaseLost(CatalogError):
    """Somebody else took the work over; nothing was written."""

    code = "lease-lost"
    retryable = True


class ReceiverUnreachable(CatalogError):
    """A webhook's receiver did not answer, or stands where nobody may be called; what was sent may have arrived."""

    code = "receiver-unreachable"
    retryable = True


class SealBroken(CatalogError):
    """A sealed credential cannot be opened: wrong key, wrong owner, or altered bytes."""

    code = "seal-broken"


class CloudError(CatalogError):
    """The root of what calling a cloud can end in; ``platform`` says which cloud."""

    code = "cloud-error"


class CloudUnavailable(CloudError):
    """The cloud did not answer, or answered 5xx or 429. The same call may succeed later.

    ``retry_after_s`` is in how many seconds, where that is known.
    """

    code = "cloud-unavailable"
    retryable = True
    retry_after_s: int | None = None


class CloudDisconnected(CloudUnavailable):
    """The connection broke before the whole answer came: what was asked may have been done, or not."""

    code = "cloud-disconnected"


class CallsExhausted(CloudUnavailable):
    """The platform grants so many calls a minute, and they were made; ``retry_after_s`` from now there is another."""

    code = "calls-exhausted"

    def __init__(self, message: str, *, again_s: int) -> None:
        """Say what is granted, and in how many seconds a call is admitted again."""
        super().__init__(message, field="calls_per_minute", fix=f"again in {again_s} s")
        self.retry_after_s = again_s


class CloudRefused(CloudError):
    """The cloud understood and said no (4xx): the same call will be refused again."""

    code = "cloud-refused"


class CloudQuotaExhausted(CloudRefused):
    """The account's quota at the cloud is used up: nothing was done, and the same call may succeed later."""

    code = "cloud-quota-exhausted"
    retryable = True


class CloudCredentialsRefused(CloudRefused):
    """The cloud does not accept the account's credentials."""

    code = "cloud-credentials-refused"


class CloudTimedOut(CloudError):
    """No answer within the deadline: the outcome is *unknown*, never *failed*."""

    code = "cloud-timed-out"
    retryable = True


class CloudMisbehaved(CloudError):
    """The answer is not what the protocol allows: garbage, truncated, too large, or implausibly empty."""

    code = "cloud-misbehaved"


class CertificateRefused(CloudError):
    """The cloud's TLS certificate does not prove the name that was asked for."""

    code = "certificate-refused"


class DialRefused(CloudError):
    """A driver tried to reach an address no admin approved for this platform; nothing was sent."""

    code = "dial-refused"
