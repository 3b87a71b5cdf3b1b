"""What ``crossway`` exits with, and what says so: a script reads the number, a human the lines on stderr."""

from enum import IntEnum
from http import HTTPStatus

from gateway.client import ApiProblem, ClientError, WaitTimedOut


class ExitCode(IntEnum):
    """Stable: scripts depend on these numbers."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    DENIED = 5
    TIMED_OUT = 6
    PARTIAL = 7
    UNREACHABLE = 8
    INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


# What the gateway says there is for who writes headers.
_FIX_CREDENTIAL = "--token-file FILE, or CROSSWAY_TOKEN_FILE; an admin issues tokens (crossway token create)"


class CliError(Exception):
    """A command cannot go on; ``code`` is what to exit with, ``fix`` says what would help."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.USAGE, fix: str = "") -> None:
        """Say what is wrong, and how to mend it."""
        super().__init__(message)
        self.code = code
        self.fix = fix


_BY_STATUS = {
    # The gateway refuses a value just as the command line itself would have.
    400: ExitCode.USAGE,
    401: ExitCode.DENIED,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
    412: ExitCode.CONFLICT,
    422: ExitCode.USAGE,
    428: ExitCode.CONFLICT,
}


def exit_code_of(error: ClientError | CliError) -> ExitCode:
    """Return what a command that ended in ``error`` exits with."""
    match error:
        case CliError():
            return error.code
        case WaitTimedOut():
            return ExitCode.TIMED_OUT
        case ApiProblem(code=code) if "idempotency" in code:
            # A key used for something else: the request is well formed, the world stands against it.
            return ExitCode.CONFLICT
        case ApiProblem(status=status):
            return _BY_STATUS.get(status, ExitCode.FAILED)
    # Nobody answered, or not a gateway: either way no gateway was reached.
    return ExitCode.UNREACHABLE


def lines_of(error: ClientError | CliError) -> list[str]:
    """Return what to tell a human: what is wrong, where, how to mend it, and the request id to quote."""
    if not isinstance(error, ApiProblem):
        fix = error.fix if isinstance(error, CliError) else ""
        return [f"error: {error}", *_labelled(fix=fix)]
    about = f"{error.title}: {error.detail}" if error.detail and error.detail != error.title else error.title
    # The first of several errors is often repeated as the problem's own field and fix.
    listed = [each for each in error.errors if (each.field, each.fix) != (error.field, error.fix)]
    return [
        f"error: {about}",
        *_labelled(field=error.field, fix=_FIX_CREDENTIAL if error.status == HTTPStatus.UNAUTHORIZED else error.fix),
        *(line for each in listed for line in _labelled(field=f"{each.field}: {each.message}", fix=each.fix)),
        *_labelled(code=error.code, request=error.request_id),
    ]


def _labelled(**parts: str) -> list[str]:
    return [f"  {label}: {text}" for label, text in parts.items() if text]
