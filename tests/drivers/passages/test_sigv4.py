"""Signature Version 4 against botocore, which signs for Amazon's own command line."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from botocore import auth, credentials
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from drivers.passages import sigv4

NOW_S = 1_800_000_000.0
SECRET = "wJalr+XUtn/FEMI&K7="
URL = "http://gateway.example:8780/passages/passage_01/"
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20)


def signed_by_botocore(
    monkeypatch: pytest.MonkeyPatch, *, method: str = "POST", url: str = URL, body: bytes = b"", **headers: str
) -> sigv4.Request:
    """Return the request as botocore would send it at NOW_S."""
    moment = dt.datetime.fromtimestamp(NOW_S, dt.UTC).replace(tzinfo=None)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: moment)
    request: Any = AWSRequest(method=method, url=url, data=body, headers=headers)
    auth.SigV4Auth(credentials.Credentials("KEY", SECRET), "ec2", "eu-central-1").add_auth(request)
    prepared = request.prepare()
    path, _, query = prepared.url.partition("8780")[2].partition("?")
    told = [(name, value.decode() if isinstance(value, bytes) else value) for name, value in prepared.headers.items()]
    return sigv4.Request(
        method=method, path=path, query=query, headers=[("Host", "gateway.example:8780"), *told], body=body
    )


def genuine(request: sigv4.Request, *, secret: str = SECRET, now_s: float = NOW_S) -> bool:
    """Return what is said of the request's signature."""
    claim = sigv4.signed(request)
    return claim is not None and sigv4.is_genuine(request, claim, secret, now_s)


CASES = [
    pytest.param({"body": b"Action=DescribeInstances&Version=2016-11-15"}, id="a form"),
    pytest.param({"method": "GET", "url": f"{URL}?b=2&a=1&Action=X&empty="}, id="parameters out of order"),
    pytest.param({"method": "GET", "url": f"{URL}?name=a%20b%2Fc%2B&A=%C3%A9"}, id="encoded parameters"),
    pytest.param({"X-Odd": "  two   words  ", "Content-Type": "text/plain"}, id="odd white space"),
    pytest.param({"url": "http://gateway.example:8780/a%20b/c%25d/"}, id="a path that is encoded twice"),
    pytest.param({}, id="an empty body"),
]


@pytest.mark.parametrize("case", CASES)
def test_what_botocore_signs_is_genuine(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> None:
    """The same request is genuine with the same secret and with no other."""
    request = signed_by_botocore(monkeypatch, **case)
    assert genuine(request)
    assert not genuine(request, secret="another")


@pytest.mark.parametrize("case", CASES)
def test_what_is_signed_here_is_what_botocore_would_have_signed(
    monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]
) -> None:
    """Over the same headers, botocore and this module come to the same Authorization, to the last digit."""
    theirs = signed_by_botocore(monkeypatch, **case)
    plain = [
        (n, v) for n, v in theirs.headers if n.lower() not in {"authorization", "x-amz-date", "x-amz-content-sha256"}
    ]
    mine = sigv4.sign(
        replace(theirs, headers=plain), key="KEY", secret=SECRET, region="eu-central-1", service="ec2", now_s=NOW_S
    )
    again = dict(mine)
    assert genuine(replace(theirs, headers=mine))
    named = {n: v for n, v in mine if n.lower() not in {"authorization", "x-amz-date", "host"}}
    repeated = signed_by_botocore(monkeypatch, **{**case, **named})
    assert dict(repeated.headers)["Authorization"] == again["Authorization"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"method": "GET"}, id="method"),
        pytest.param({"path": "/passages/passage_02/"}, id="path"),
        pytest.param({"query": "Action=RunInstances"}, id="query"),
        pytest.param({"body": b"Action=TerminateInstances"}, id="body"),
    ],
)
def test_nothing_that_was_signed_can_be_changed(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    """One part changed, the signature as it was: refused."""
    request = signed_by_botocore(monkeypatch, body=b"Action=DescribeInstances")
    assert not genuine(replace(request, **change))


def test_a_signed_digest_of_another_body_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """X-Amz-Content-Sha256 is signed, and would be true of the first body only: the body that came is hashed."""
    request = signed_by_botocore(monkeypatch, body=b"Action=DescribeInstances")
    signed = sigv4.sign(request, key="KEY", secret=SECRET, region="eu-central-1", service="ec2", now_s=NOW_S)
    assert not genuine(replace(request, headers=signed, body=b"Action=TerminateInstances"))


@pytest.mark.parametrize(("late_s", "holds"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_a_signature_is_worth_something_for_five_minutes(
    monkeypatch: pytest.MonkeyPatch, late_s: float, *, holds: bool
) -> None:
    """Older, and from further in the future, it proves nothing."""
    assert genuine(signed_by_botocore(monkeypatch), now_s=NOW_S + late_s) is holds


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([("Authorization", "Bearer cw_admin_x")], id="a bearer"),
        pytest.param([("Authorization", "AWS4-HMAC-SHA256 x")] * 2, id="two"),
        pytest.param(
            [
                (
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=K/20270115/r/ec2/aws4_request, SignedHeaders=x-amz-date, Signature="
                    + "0" * 64,
                ),
                ("X-Amz-Date", "20270115T080000Z"),
            ],
            id="host left out",
        ),
    ],
)
def test_what_is_no_signature_proves_nothing(headers: list[tuple[str, str]]) -> None:
    """Nothing, something else, two, or one that leaves Host out."""
    assert sigv4.signed(sigv4.Request(method="GET", path="/", query="", headers=headers, body=b"")) is None


@given(body=TEXT, value=TEXT, secret=st.text(min_size=1, max_size=40))
def test_what_is_signed_here_is_genuine_here(body: str, value: str, secret: str) -> None:
    """Whatever body, header and secret; one bit more in the body and it is not."""
    request = sigv4.Request(
        method="POST", path="/", query="", headers=(("Host", "h"), ("X-V", value)), body=body.encode()
    )
    headers = sigv4.sign(request, key="K", secret=secret, region="r", service="ec2", now_s=NOW_S)
    assert genuine(replace(request, headers=headers), secret=secret)
    assert not genuine(replace(request, headers=headers, body=request.body + b"x"), secret=secret)
