"""gateway.cli.exits: which number a script reads, and what a human is told."""

import pytest

from gateway.cli.exits import CliError, ExitCode, exit_code_of, lines_of
from gateway.client import AnswerUnreadable, ApiProblem, ClientError, ServerUnreachable, WaitTimedOut
from gateway.client.problems import FieldError


def refused(status: int, code: str = "some-code") -> ApiProblem:
    """Return a problem with this status and code."""
    return ApiProblem(status=status, code=code, title="No")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(refused(400), 2, id="400"),
        pytest.param(refused(401), 5, id="401"),
        pytest.param(refused(403), 5, id="403"),
        pytest.param(refused(404), 3, id="404"),
        pytest.param(refused(409), 4, id="409"),
        pytest.param(refused(412), 4, id="412"),
        pytest.param(refused(422), 2, id="422"),
        pytest.param(refused(422, "idempotency-key-reused"), 4, id="a key used for something else"),
        pytest.param(refused(428), 4, id="428"),
        pytest.param(refused(429), 1, id="429"),
        pytest.param(refused(500), 1, id="500"),
        pytest.param(refused(503), 1, id="503"),
        pytest.param(WaitTimedOut("order_1", timeout_s=1, last_state="creating"), 6, id="timed out waiting"),
        pytest.param(ServerUnreachable("unix:/s", "refused"), 8, id="unreachable"),
        pytest.param(AnswerUnreadable("unix:/s", "HTML"), 8, id="not a gateway"),
        pytest.param(CliError("x"), 2, id="usage"),
        pytest.param(CliError("x", code=ExitCode.PARTIAL), 7, id="partial"),
    ],
)
def test_exit_codes(error: ClientError | CliError, expected: int) -> None:
    """Every way to end has its documented number."""
    assert exit_code_of(error) == expected


def test_a_problem_is_told_completely() -> None:
    """Title, detail, field, fix, code and request id stand on lines of their own; empty ones are left out."""
    problem = ApiProblem(
        status=422,
        code="invalid-value",
        title="Invalid value",
        detail="there is no size 'huge'",
        field="size",
        fix="small or large",
        request_id="req_7",
    )
    assert lines_of(problem) == [
        "error: Invalid value: there is no size 'huge'",
        "  field: size",
        "  fix: small or large",
        "  code: invalid-value",
        "  request: req_7",
    ]


def test_each_of_several_errors_is_told_once() -> None:
    """The listed errors follow; the one that the problem repeats as its own is not said twice."""
    problem = ApiProblem(
        status=422,
        code="invalid-request",
        title="Invalid request",
        field="name",
        fix="shorter",
        errors=(
            FieldError(field="name", message="too long", fix="shorter"),
            FieldError(field="port", message="too big", fix="at most 65535"),
        ),
    )
    assert lines_of(problem) == [
        "error: Invalid request",
        "  field: name",
        "  fix: shorter",
        "  field: port: too big",
        "  fix: at most 65535",
        "  code: invalid-request",
    ]
