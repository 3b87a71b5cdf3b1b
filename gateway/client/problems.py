"""What talking to a gateway can end in.

No text here holds a token or bytes of an answer that could not be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass


class ClientError(Exception):
    """The root of every error that leaves ``gateway.client``."""


class ServerUnreachable(ClientError):
    """No answer came: refused, lost on the way, or silent for too long. ``server`` says who was asked."""

    def __init__(self, server: str, why: str) -> None:
        """Say which server gave no answer and what happened instead."""
        super().__init__(f"no answer from {server}: {why}")
        self.server = server
        self.why = why


class AnswerUnreadable(ClientError):
    """Something answered that does not speak this API: not JSON, too large, or a redirect (never followed)."""

    def __init__(self, server: str, why: str) -> None:
        """Say who answered and what was wrong with the answer."""
        super().__init__(f"{server} did not answer like a Crossway gateway: {why}")
        self.server = server


class WaitTimedOut(ClientError):
    """What was waited for did not come about in time; it may still. ``last_state`` is the last one seen."""

    def __init__(self, what: str, *, timeout_s: float, last_state: str) -> None:
        """Say what was waited for, for how long, and where it stood."""
        super().__init__(f"{what} is still {last_state} after {timeout_s:g} s")
        self.what = what
        self.last_state = last_state


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One of several things wrong with a request: where, what, and what would be right."""

    field: str
    message: str
    fix: str


class ApiProblem(ClientError):
    """The gateway said no (RFC 9457). ``status`` is HTTP's, ``code`` the gateway's stable word for it."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        field: str = "",
        fix: str = "",
        request_id: str = "",
        errors: tuple[FieldError, ...] = (),
    ) -> None:
        """Carry what the problem document said; what it left out is empty."""
        super().__init__(detail or title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.field = field
        self.fix = fix
        self.request_id = request_id
        self.errors = errors


def problem_of(status: int, document: Mapping[str, object], request_id: str) -> ApiProblem:
    """Return the error that a problem document describes; ``request_id`` is used where it names none."""

    def text(key: str, default: str = "") -> str:
        value = document.get(key)
        return value if isinstance(value, str) else default

    listed = document.get("errors")
    return ApiProblem(
        status=status,
        code=text("code", f"http-{status}"),
        title=text("title", f"HTTP status {status}"),
        detail=text("detail"),
        field=text("field"),
        fix=text("fix"),
        request_id=text("request_id", request_id),
        errors=tuple(
            FieldError(
                field=str(error.get("field") or ""),
                message=str(error.get("message") or ""),
                fix=str(error.get("fix") or ""),
            )
            for error in (listed if isinstance(listed, list) else ())
            if isinstance(error, dict)
        ),
    )
