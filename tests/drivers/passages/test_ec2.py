"""EC2 in a passage: whose call it is, what it needs, and what reaches the real endpoint."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from catalog.errors import CloudMisbehaved, Denied
from catalog.messages.handshake import CAPABILITY_VERBS
from catalog.ports import HttpAnswer, HttpCall, PassageCall
from drivers.passages import sigv4
from drivers.passages.answers import one_piece
from drivers.passages.ec2 import ACTIONS, Ec2Passage
from tests.support.clocks import ManualClock
from tests.support.passage_terms import CLOUD_SECRET, TERMS, MemoryCarrier, always, cloud_account, read

URL = "https://ec2.eu-central-1.amazonaws.com"
CLOCK = ManualClock()


def passage(carrier: MemoryCarrier | None = None, **changes: Any) -> Ec2Passage:
    """Return a passage into an account at the real name."""
    return Ec2Passage(
        terms=replace(TERMS, **changes),
        account=always(cloud_account("ec2", URL)),
        carrier=carrier or MemoryCarrier(),
        clock=CLOCK,
    )


def call(parameters: Mapping[str, str] | str, *, service: str = "ec2", region: str = TERMS.region) -> PassageCall:
    """Return a call signed by the passage's holder."""
    environment = passage().environment()
    body = parameters if isinstance(parameters, str) else urlencode(parameters)
    request = sigv4.Request(
        method="POST",
        path=urlsplit(TERMS.address).path + "/",
        query="",
        headers=(
            ("Host", urlsplit(TERMS.address).netloc),
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ),
        body=body.encode(),
    )
    headers = sigv4.sign(
        request,
        key=environment["AWS_ACCESS_KEY_ID"],
        secret=environment["AWS_SECRET_ACCESS_KEY"],
        region=region,
        service=service,
        now_s=CLOCK.now_s(),
    )
    return PassageCall(method="POST", address=TERMS.address, path="/", headers=headers, body=request.body)


def test_the_holder_s_key_and_no_other_proves_a_call() -> None:
    """A good signature is the holder's; another passage's, an altered body or a late one is not."""
    good = call({"Action": "DescribeInstances"})
    assert passage().is_from_holder(good)
    assert not passage().is_from_holder(replace(good, body=b"Action=TerminateInstances"))
    assert not passage().is_from_holder(replace(good, headers=()))
    other = "http://gateway.example:8780/passages/passage_01J00000000000000000000001"
    assert not passage(passage="passage_01J00000000000000000000001", address=other).is_from_holder(good)


def test_the_environment_holds_nothing_of_the_cloud() -> None:
    """The key is not one of Amazon's, every service is led here, and no file of the user's is read."""
    environment = passage().environment()
    assert CLOUD_SECRET not in str(environment)
    assert environment["AWS_ACCESS_KEY_ID"].startswith("CROSSWAY")
    assert environment["AWS_ENDPOINT_URL"] == environment["AWS_ENDPOINT_URL_EC2"] == TERMS.address
    assert environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert "secret" not in repr(passage()).replace("Secret(…)", "").replace("secret=", "")


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_in_the_table_needs_a_verb_that_can_be_granted(action: str) -> None:
    """The table names only capabilities and verbs of the handshake, and ``asked`` says the same."""
    capability, verb = ACTIONS[action]
    assert verb in CAPABILITY_VERBS[capability]
    asked = passage().asked(call({"Action": action}))
    assert (asked.what, asked.capability, asked.verb) == (f"ec2 {action}", capability, verb)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        pytest.param({"Action": "CreateUser"}, "'CreateUser'", id="unknown action"),
        pytest.param({"Action": "describeinstances"}, "'describeinstances'", id="another spelling"),
        pytest.param({}, "action ''", id="no parameters"),
        pytest.param("Action=DescribeInstances&Action=TerminateInstances", "twice", id="two actions"),
        pytest.param({"Action": "RunInstances", "IamInstanceProfile.Name": "admin"}, "IamInstanceProfile", id="a role"),
        pytest.param({"Action": "RunInstances", "LaunchTemplate.LaunchTemplateId": "lt"}, "LaunchTempl", id="template"),
        pytest.param({"Action": "RunInstances", "BlockDeviceMapping.1.Ebs.VolumeSize": "9"}, "BlockDev", id="volume"),
        pytest.param(
            {"Action": "RunInstances", "TagSpecification.1.ResourceType": "volume"}, "machine itself", id="volume tag"
        ),
        pytest.param({"Action": "\x1b[2J\n"}, "'??2J?'", id="control characters are not repeated"),
    ],
)
def test_what_is_not_known_to_be_covered_is_refused(parameters: Mapping[str, str] | str, said: str) -> None:
    """Deny by default, and say what it was."""
    with pytest.raises(Denied) as refused:
        passage().asked(call(parameters))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("service", "region", "said"),
    [("iam", TERMS.region, "not to iam"), ("s3", TERMS.region, "not to s3"), ("ec2", "us-east-1", "eu-central-1")],
)
def test_other_services_and_regions_are_refused(service: str, region: str, said: str) -> None:
    """A call signed for another service or region is not EC2's here, whatever its action."""
    with pytest.raises(Denied, match=said):
        passage().asked(call({"Action": "DescribeInstances"}, service=service, region=region))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"path": "/latest"}, id="a path"),
        pytest.param({"query": "Action=TerminateInstances"}, id="parameters in two places"),
        pytest.param({"method": "PUT"}, id="a method"),
        pytest.param({"headers": (("Content-Type", "application/json"),)}, id="another form"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(change: dict[str, Any]) -> None:
    """Parameters stand in one place, in one form."""
    good = call({"Action": "DescribeInstances"})
    if "headers" in change:
        change = {"headers": (*(each for each in good.headers if each[0] != "Content-Type"), *change["headers"])}
    with pytest.raises(Denied):
        passage().asked(replace(good, **change))


def test_the_real_endpoint_gets_the_same_action_signed_by_the_account() -> None:
    """Same parameters, the account's signature, the real name; nothing of the holder's headers or key."""
    carrier = MemoryCarrier(lambda _: one_piece(200, "text/xml", b"<x/>", (("Set-Cookie", "a"), ("Server", "b"))))

    async def story() -> HttpAnswer:
        async with passage(carrier).send(call({"Action": "StopInstances", "InstanceId.1": "i-1 +&é"})) as answer:
            assert await read(answer) == b"<x/>"
            return answer

    answer = asyncio.run(story())
    assert answer.headers == (("Content-Type", "text/xml"),)
    (sent,) = carrier.sent
    assert (sent.method, sent.url, sent.repeatable) == ("POST", f"{URL}/", False)
    assert parse_qs(sent.body.decode()) == {
        "Action": ["StopInstances"],
        "Version": ["2016-11-15"],
        "InstanceId.1": ["i-1 +&é"],
    }
    request = sigv4.Request(method="POST", path="/", query="", headers=sent.headers, body=sent.body)
    claim = sigv4.signed(request)
    assert claim is not None
    assert (claim.key, claim.region) == ("primary", TERMS.region)
    assert sigv4.is_genuine(request, claim, CLOUD_SECRET, CLOCK.now_s())
    assert "CROSSWAY" not in str(sent.headers)


def test_only_reads_may_be_repeated() -> None:
    """Every action but Describe… is sent at most once."""
    carrier = MemoryCarrier()

    async def story() -> None:
        for action in ACTIONS:
            async with passage(carrier).send(call({"Action": action})):
                pass

    asyncio.run(story())
    repeatable = {parse_qs(sent.body.decode())["Action"][0] for sent in carrier.sent if sent.repeatable}
    assert repeatable == {action for action in ACTIONS if action.startswith("Describe")}


def answer_with(*headers: tuple[str, str], body: bytes = b"") -> Any:
    """Return what a cloud answers."""

    def answering(_call: HttpCall) -> HttpAnswer:
        return one_piece(200, "text/xml", body, headers)

    return answering


@pytest.mark.parametrize(
    "answering",
    [
        pytest.param(answer_with(("Content-Encoding", "gzip")), id="compressed"),
        pytest.param(answer_with(body=b"x" * 101), id="too long"),
    ],
)
def test_an_answer_outside_its_limits_is_cut(answering: Any) -> None:
    """What was not asked for, or is longer than is let through, is CloudMisbehaved."""

    async def story() -> None:
        limited = passage(MemoryCarrier(answering), answer_limit_bytes=100)
        async with limited.send(call({"Action": "DescribeInstances"})) as answer:
            await read(answer)

    with pytest.raises(CloudMisbehaved):
        asyncio.run(story())


def test_a_refusal_is_an_error_of_ec2() -> None:
    """The message is escaped into the XML that every SDK reads."""
    answer = passage().refusal(call({}), status=403, message="'<x>' & more")
    body = asyncio.run(read(answer)).decode()
    assert answer.status == 403
    assert "<Code>UnauthorizedOperation</Code><Message>'&lt;x&gt;' &amp; more</Message>" in body
