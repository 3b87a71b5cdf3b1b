"""gateway.client.events: a feed that is taken up again after a hang-up, and ends with the gateway's reason."""

from itertools import islice

import pytest

from gateway.client import AnswerUnreadable, ApiProblem
from gateway.client.address import parse_address
from gateway.client.events import Events
from gateway.client.wire import Wire
from tests.support.api_stub import HangUp, Played, playing, problem


def feed(*frames: str) -> Played:
    """Return a feed as a gateway sends it."""
    return Played(headers={"Content-Type": "text/event-stream"}, body="".join(frames).encode())


def told(seq: int) -> str:
    """Return one event as it is sent."""
    return f'id: {seq}\nevent: order.placed\ndata: {{"seq": {seq}, "kind": "order.placed"}}\n\n'


def events_at(server: str) -> Events:
    """Return the events of the gateway at ``server``; nothing is waited for."""
    return Events(Wire(address=parse_address(server), pause=lambda _: None), "/v1/events")


def test_a_feed_is_taken_up_where_it_broke_off() -> None:
    """After a hang-up and a 503 reading goes on after the last number, that of a beat included; filters stay."""
    away = problem(503, "store-unavailable")
    with playing(feed(told(1), ": beat\nid: 5\n\n"), HangUp(), away, feed("retry: 1\n", told(6), told(7))) as stage:
        found = [event["seq"] for event in islice(events_at(stage.server).watch(since=0, kind="order"), 3)]
    assert found == [1, 6, 7]
    assert [asked.path for asked in stage.asked] == [
        "/v1/events/watch?kind=order&since=0",
        *["/v1/events/watch?kind=order&since=5"] * 3,
    ]
    assert stage.asked[0].headers["accept"] == "text/event-stream"


def test_what_the_gateway_ends_it_with_is_raised() -> None:
    """An ``end`` event and a refusal are ApiProblems with the gateway's code and fix; garbage is unreadable."""
    end = 'event: end\ndata: {"code": "unauthenticated", "detail": "over", "fix": "another"}\n\n'
    with playing(feed(told(1), end)) as stage, pytest.raises(ApiProblem) as ended:
        list(events_at(stage.server).watch())
    assert (ended.value.status, ended.value.code, ended.value.fix) == (401, "unauthenticated", "another")
    with playing(problem(410, "events-forgotten")) as stage, pytest.raises(ApiProblem) as refused:
        list(events_at(stage.server).watch(since=1))
    assert refused.value.code == "events-forgotten"
    with playing(feed("id: 1\ndata: {\n\n")) as stage, pytest.raises(AnswerUnreadable):
        list(events_at(stage.server).watch())
