"""What can be wrong at the front door; ``gateway.api.problems`` turns these into HTTP."""

from typing import ClassVar


class GatewayError(Exception):
    """The root of every error the gateway itself raises."""

    code: ClassVar[str] = "gateway-error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, fix: str | None = None, detail: str = "") -> None:
        """Describe what is wrong (``message``), where (``field``) and what would be right (``fix``)."""
        super().__init__(message)
        self.field = field
        self.fix = fix
        self.detail = detail


class InvalidSettings(GatewayError):
    """The settings file or environment cannot be what was given."""

    code = "invalid-settings"


class Unauthenticated(GatewayError):
    """No token, or none that is valid now; which of the two is not told."""

    code = "unauthenticated"


class Forbidden(GatewayError):
    """The caller is known and this door is not for it."""

    code = "forbidden"


class TooManyLogins(GatewayError):
    """Too many log-ins at once, or too many that failed; ``retry_after_s`` says when another may be tried."""

    code = "too-many-logins"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float = 5.0, fix: str | None = None) -> None:
        """Describe it."""
        super().__init__(message, fix=fix)
        self.retry_after_s = retry_after_s


class MalformedRequest(GatewayError):
    """The request cannot be understood: broken JSON, or a header or query that does not follow its grammar."""

    code = "malformed-request"


class InvalidRequest(GatewayError):
    """The request is understood and some of its values cannot be; ``faults`` lists every one.

    Each fault is {"field", "message", "fix"}; none repeats what was sent, which may have been a secret.
    """

    code = "invalid-request"

    def __init__(self, message: str, *, faults: tuple[dict[str, str], ...]) -> None:
        """Describe all ``faults``; ``field`` and ``fix`` are those of the first."""
        super().__init__(message, field=faults[0]["field"], fix=faults[0]["fix"])
        self.faults = faults


class NoSuchPath(GatewayError):
    """Nothing lives at this path."""

    code = "no-such-path"


class MethodNotAllowed(GatewayError):
    """The path exists, this method does not."""

    code = "method-not-allowed"


class BodyTooLarge(GatewayError):
    """The body is longer than the gateway reads."""

    code = "body-too-large"


class UnsupportedMediaType(GatewayError):
    """The body is not plain ``application/json``."""

    code = "unsupported-media-type"


class ReadTimedOut(GatewayError):
    """The body did not arrive in time."""

    code = "read-timed-out"


class KeyReused(GatewayError):
    """The Idempotency-Key was used before for another request."""

    code = "idempotency-key-reused"


class StillRunning(GatewayError):
    """The request with this Idempotency-Key is still being carried out."""

    code = "still-running"
    retryable = True


class PreconditionMissing(GatewayError):
    """A change without If-Match would overwrite what others did in the meantime."""

    code = "precondition-missing"


class TooManyReaders(GatewayError):
    """So many callers wait for changes at once that another one has to come back later."""

    code = "too-many-readers"
    retryable = True


class HandshakeRefused(GatewayError):
    """The platform's owner did not grant what was asked for."""

    code = "handshake-refused"


class PlatformMisbehaved(GatewayError):
    """A platform's connector answered outside the protocol."""

    code = "platform-misbehaved"


class InternalError(GatewayError):
    """A mistake of ours; the log has the details under the request id."""

    code = "internal-error"
