"""The handshake's parsers under arbitrary input: they accept what they wrote, and refuse the rest in one way."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import CloudMisbehaved
from catalog.messages import handshake_json as wire
from catalog.messages.handshake import AuthorizationRequest, GrantedCapability, ServiceInformation
from catalog.messages.handshake_shapes import AuthorizationQuestion, Question
from catalog.model.terms import Scope

NONCE = "n" * 32
INFORMATION = ServiceInformation(provider="ec2", region="", services=("machine",), facts={"a": "b c"})
REQUEST = AuthorizationRequest(
    request_id="grant_1",
    platform="p",
    gateway="g",
    service_information=INFORMATION,
    wanted={"machine": ("create", "list"), "image": ("list",)},
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_json_or_misbehaviour(body: bytes) -> None:
    """No input makes the reader raise anything else."""
    with contextlib.suppress(CloudMisbehaved):
        wire.read_json(body)


@given(
    st.dictionaries(st.sampled_from(["nonce", "request_id", "granted", "pending", "service_information"]), json_values)
)
def test_any_payload_is_an_answer_or_misbehaviour(payload: dict[str, Any]) -> None:
    """No JSON in the right places makes the answers' readers raise anything else."""
    for read in (
        lambda: wire.read_information(payload, nonce=NONCE),
        lambda: wire.read_decision(payload, nonce=NONCE, request=REQUEST, signed=""),
    ):
        with pytest.raises(CloudMisbehaved):
            read()


def test_what_was_written_is_read_back() -> None:
    """Information, requests and grants survive JSON unchanged."""
    payload = json.loads(json.dumps({"nonce": NONCE, "service_information": wire.information_json(INFORMATION)}))
    assert wire.read_information(payload, nonce=NONCE) == INFORMATION

    envelope = {
        "nonce": NONCE,
        "gateway": "g",
        "platform": "p",
        "issued_at_s": 1.0,
        "request": wire.request_json(REQUEST),
    }
    question = wire.read(AuthorizationQuestion, json.loads(json.dumps(envelope)))
    assert question.authorization_request() == REQUEST

    within = Scope(regions=("eu-*",), sizes=("s1",))
    grant = GrantedCapability(capability="machine", verbs=("list",), expires_at_s=5.0, scope=within, cores=4)
    answer = {"nonce": NONCE, "request_id": "grant_1", "granted": [wire.granted_json(grant)], "pending": ["image"]}
    decision = wire.read_decision(json.loads(json.dumps(answer)), nonce=NONCE, request=REQUEST, signed="s")
    assert (decision.granted, decision.pending, decision.signed) == ((grant,), ("image",), "s")


def test_what_older_readers_do_not_know_is_written_only_where_it_is() -> None:
    """A grant without scope, cores, memory and destinations is told in the four words that every release knows."""
    told = wire.granted_json(GrantedCapability(capability="machine", verbs=("list",)))
    assert told.keys() == {"capability", "verbs", "quota", "expires_at_s"}


@pytest.mark.parametrize("limit", [{"scope": {"sizes": ["s1"]}}, {"cores": 1}, {"memory_gib": 1}])
def test_a_limit_that_nobody_would_keep_to_is_refused(limit: dict[str, Any]) -> None:
    """Images have no scope of sizes and no cores: rather than be passed over, such terms make the answer wrong."""
    line = {"capability": "image", "verbs": ["list"], "quota": None, "expires_at_s": None, **limit}
    answer = {"nonce": NONCE, "request_id": "grant_1", "granted": [line], "pending": []}
    with pytest.raises(CloudMisbehaved, match="machines"):
        wire.read_decision(answer, nonce=NONCE, request=REQUEST, signed="s")


def test_an_error_never_repeats_a_foreign_name() -> None:
    """A field that the other side invented is called unknown, not by the name it was given."""
    with pytest.raises(CloudMisbehaved) as caught:
        wire.read(Question, {"nonce": NONCE, "gateway": "g", "platform": "p", "issued_at_s": 1.0, "evil\n": 1})
    assert "evil" not in f"{caught.value}{caught.value.field}{caught.value.detail}"


def test_every_refusal_has_a_status_and_words() -> None:
    """The table is complete, and only a busy connector says "come again"."""
    assert set(wire.REFUSALS) == set(wire.Refusal)
    assert [refusal for refusal, (status, _) in wire.REFUSALS.items() if status >= 500] == [wire.Refusal.BUSY]


@pytest.mark.parametrize(
    ("about", "taken"),
    [
        pytest.param({}, True, id="an older connector's"),
        pytest.param({"platform": "p", "gateway": "g", "issued_at_s": 1.0, "serial": 3}, True, id="ours"),
        pytest.param(
            {"platform": "q", "gateway": "g", "issued_at_s": 1.0, "serial": 3}, False, id="another platform's"
        ),
        pytest.param({"platform": "p", "gateway": "h", "issued_at_s": 1.0, "serial": 3}, False, id="another gateway's"),
    ],
)
def test_a_numbered_answer_names_this_platform_and_this_gateway(about: dict[str, Any], taken: bool) -> None:  # noqa: FBT001
    """Who numbers its answers says whose and for whom they are; a mismatch is refused, nothing said is not."""
    answer = {"nonce": NONCE, "request_id": "grant_1", "granted": [], "pending": [], **about}
    if taken:
        assert wire.read_decision(answer, nonce=NONCE, request=REQUEST, signed="s").serial == about.get("serial")
        return
    with pytest.raises(CloudMisbehaved) as refused:
        wire.read_decision(answer, nonce=NONCE, request=REQUEST, signed="s")
    assert refused.value.field == "gateway"
