"""gateway.client.problems: what a problem document becomes."""

from gateway.client.problems import FieldError, problem_of


def test_every_part_of_a_problem_is_kept() -> None:
    """Status, code, field, fix, request id and every listed error are there for the caller."""
    document = {
        "title": "Invalid request",
        "detail": "two fields are wrong",
        "code": "invalid-request",
        "field": "name",
        "fix": "a name",
        "request_id": "r1",
        "errors": [{"field": "name", "message": "too long", "fix": "at most 63 characters"}],
    }
    problem = problem_of(422, document, "from the header")

    assert (problem.status, problem.code, problem.field, problem.fix) == (422, "invalid-request", "name", "a name")
    assert problem.request_id == "r1"
    assert problem.errors == (FieldError(field="name", message="too long", fix="at most 63 characters"),)
    assert str(problem) == "two fields are wrong"


def test_an_error_without_a_document_still_says_something() -> None:
    """A bare status, as a proxy sends it, becomes a problem with a code and the header's request id."""
    problem = problem_of(502, {}, "r2")

    assert (problem.code, problem.title, problem.request_id) == ("http-502", "HTTP status 502", "r2")


def test_a_document_of_the_wrong_shape_does_no_harm() -> None:
    """Numbers where texts belong, and errors that are none, are left out."""
    problem = problem_of(400, {"title": 7, "errors": ["x", {"field": None}], "fix": None}, "")

    assert problem.title == "HTTP status 400"
    assert problem.errors == (FieldError(field="", message="", fix=""),)
