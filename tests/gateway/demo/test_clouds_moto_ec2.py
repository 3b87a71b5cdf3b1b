"""The demo's EC2 server answers as Amazon does where moto alone does not, and checks who asks."""

import signal
from pathlib import Path

import pytest

from gateway.demo.clouds import moto_mends
from tests.support.clouds import moto_cloud

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("Tag.0.Key=a&Tag.0.Value=b&Tag.1.Key=c", "Tag.1.Key=a&Tag.1.Value=b&Tag.2.Key=c", id="from 0"),
        pytest.param("Tag.1.Key=a&Tag.2.Key=c", "Tag.1.Key=a&Tag.2.Key=c", id="from 1 stays"),
        pytest.param("A.0=x&B.1=y", "A.1=x&B.1=y", id="each list by itself"),
        pytest.param("Action=Run&Empty=", "Action=Run&Empty=", id="no list"),
    ],
)
def test_lists_start_at_one(query: str, expected: str) -> None:
    """Only lists that start at 0 are moved."""
    assert moto_mends.query_from_one(query) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(f'<AResponse xmlns="{NAMESPACE}"><x/>', f'<AResponse xmlns="{NAMESPACE}/"><x/>', id="slash added"),
        pytest.param(f'<AResponse xmlns="{NAMESPACE}/"><x/>', f'<AResponse xmlns="{NAMESPACE}/"><x/>', id="slash kept"),
        pytest.param(f'<Response xmlns="{NAMESPACE}"><Errors/>', "<Response><Errors/>", id="errors have none"),
        pytest.param(
            f'<RebootInstancesResponse xmlns="{NAMESPACE}"><requestId>1',
            f'<RebootInstancesResponse xmlns="{NAMESPACE}/"><return>true</return><requestId>1',
            id="confirmed",
        ),
        pytest.param('{"json": 1}', '{"json": 1}', id="others stay"),
    ],
)
def test_answers_are_as_amazon_writes_them(body: str, expected: str) -> None:
    """Namespace, error root and confirmation are those that libcloud looks for."""
    assert moto_mends.as_amazon_answers(body.encode()).decode() == expected


def test_unsigned_requests_are_refused_and_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    """Without a signature there is no answer but AuthFailure; SIGTERM ends the process with 0."""
    with moto_cloud(tmp_path) as cloud:
        status, body = cloud.control("GET", "/?Action=DescribeInstances&Version=2016-11-15")
        assert (status, b"AuthFailure" in body) == (401, True)
        assert cloud.control("POST", "/_faults", '[{"kind": "no such"}]')[0] == 400
        cloud.process.send_signal(signal.SIGTERM)
        assert cloud.process.wait(20) == 0
