"""gateway.client.collection: pages, versions and waiting."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.client import AnswerUnreadable, ApiProblem, ServerUnreachable, WaitTimedOut
from gateway.client.address import parse_address
from gateway.client.network import LiveWeights, Relays
from gateway.client.orders import Orders
from gateway.client.wire import Wire
from tests.support.api_stub import HangUp, Played, page, playing, problem


@dataclass
class PausedTime:
    """A clock that moves only by what is paused."""

    now_s: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def clock_s(self) -> float:
        """Return the present moment."""
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.pauses.append(seconds)
        self.now_s += max(seconds, 0.01)


def orders_at(server: str, time: PausedTime | None = None) -> Orders:
    """Return the orders of the gateway at ``server``, with time that is only told."""
    time = time or PausedTime()
    return Orders(Wire(address=parse_address(server), clock_s=time.clock_s, pause=time.pause), "/v1/orders")


def order(state: str, version: int) -> Played:
    """Return an order as a gateway answers it."""
    return Played(headers={"ETag": f'"{version}"'}, body={"id": "order_1", "state": state})


UNCHANGED = Played(status=304, headers={"ETag": '"1"'})


def ended(seen: object) -> bool:
    """Return whether the order has ended."""
    return isinstance(seen, dict) and seen["state"] == "fulfilled"


def test_every_page_is_fetched() -> None:
    """Iterating follows next_page_token to the end, with filters and limit on every page."""
    with playing(page([{"id": "a"}, {"id": "b"}], "t1"), page([{"id": "c"}])) as stage:
        found = [each["id"] for each in orders_at(stage.server).list(page_size=2, state="failed")]

    assert found == ["a", "b", "c"]
    assert [asked.path for asked in stage.asked] == [
        "/v1/orders?limit=2&state=failed",
        "/v1/orders?limit=2&state=failed&page_token=t1",
    ]


def test_pages_are_fetched_as_needed() -> None:
    """Who takes two items of many asks for one page only."""
    with playing(page([{"id": "a"}, {"id": "b"}], "t1")) as stage:
        items = orders_at(stage.server).list()
        assert [next(items)["id"], next(items)["id"]] == ["a", "b"]

    assert len(stage.asked) == 1


def test_a_page_that_names_itself_ends() -> None:
    """A server that repeats its token for ever is not followed for ever."""
    with playing(page([{"id": "a"}], "t1"), page([{"id": "b"}], "t1")) as stage:
        assert [each["id"] for each in orders_at(stage.server).list()] == ["a", "b"]


@pytest.mark.parametrize("body", [{"orders": []}, [1, 2], b"hello"])
def test_what_is_no_page_is_told(body: object) -> None:
    """An answer without items is an error, never an empty list."""
    with playing(Played(body=body)) as stage, pytest.raises(AnswerUnreadable):
        list(orders_at(stage.server).list())


def test_names_cannot_leave_their_path() -> None:
    """A name with slashes or dots is one path segment, whatever it says."""
    with playing(problem(404, "not-found")) as stage, pytest.raises(ApiProblem):
        orders_at(stage.server).get("../tokens?x=1#y")

    assert stage.asked[0].path == "/v1/orders/..%2Ftokens%3Fx%3D1%23y"


def test_a_change_names_the_version_it_saw() -> None:
    """A change without a version of the caller's reads first and sends that version in If-Match."""
    with playing(Played(headers={"ETag": '"7"'}, body={"id": "r"}), Played(body={"id": "r"})) as stage:
        Relays(Wire(address=parse_address(stage.server)), "/v1/relays").set_enabled("fra-1", enabled=False)

    assert [(asked.method, asked.headers.get("if-match")) for asked in stage.asked] == [("GET", None), ("PATCH", '"7"')]
    assert stage.asked[1].body == {"enabled": False}


def test_a_stale_change_is_told() -> None:
    """A version of the caller's own is sent as it is, and 412 comes back as a problem."""
    with playing(problem(412, "stale")) as stage, pytest.raises(ApiProblem) as caught:
        Relays(Wire(address=parse_address(stage.server)), "/v1/relays").set_enabled("x", enabled=True, if_match='"1"')

    assert (caught.value.status, stage.asked[0].headers["if-match"]) == (412, '"1"')


def test_weights_are_changed_one_by_one() -> None:
    """Setting one weight keeps the others and guards them with the version just read."""
    weights = {"version": 3, "delay": 1.0, "loss": 1.0, "hops": 5.0}
    with playing(Played(headers={"ETag": '"3"'}, body=weights), Played(body={})) as stage:
        LiveWeights(Wire(address=parse_address(stage.server))).set({"loss": 2.0})

    assert stage.asked[1].headers["if-match"] == '"3"'
    assert stage.asked[1].body == {"delay": 1.0, "loss": 2.0, "hops": 5.0}


def test_waiting_is_one_long_poll_per_change() -> None:
    """Each watch names the version last seen and at most 60 s; every version is shown on the way."""
    seen: list[str] = []
    with playing(order("placed", 1), order("creating", 2), order("fulfilled", 3)) as stage:
        done = orders_at(stage.server).wait(
            "order_1", until=ended, timeout_s=600, on_change=lambda each: seen.append(each["state"])
        )

    assert (done["state"], seen) == ("fulfilled", ["placed", "creating", "fulfilled"])
    watches = [(asked.headers.get("prefer"), asked.headers.get("if-none-match")) for asked in stage.asked]
    assert watches == [(None, None), ("wait=60", '"1"'), ("wait=60", '"2"')]


def test_what_is_so_already_is_not_waited_for() -> None:
    """A thing in the wanted state is returned at once."""
    with playing(order("fulfilled", 4)) as stage:
        orders_at(stage.server).wait("order_1", until=ended, timeout_s=0)

    assert len(stage.asked) == 1


def test_waiting_ends() -> None:
    """What does not come about in time raises WaitTimedOut, with where it stood; nobody is asked any more then."""
    told = "order_1 is still creating after 2 s"
    script = (order("creating", 1), UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED)
    with playing(*script) as stage, pytest.raises(WaitTimedOut, match=told) as caught:
        orders_at(stage.server).wait("order_1", until=ended, timeout_s=2)

    assert caught.value.last_state == "creating"
    assert stage.script == []


def test_a_gateway_that_answers_watches_at_once_is_not_hammered() -> None:
    """Where nothing holds the watch open, a pause stands between two looks."""
    time = PausedTime()
    with playing(order("creating", 1), order("creating", 1), UNCHANGED, order("fulfilled", 2)) as stage:
        orders_at(stage.server, time).wait("order_1", until=ended, timeout_s=60)

    assert time.pauses == [0.5, 0.5]


def test_a_restart_ends_nobodys_wait() -> None:
    """A gateway that goes away while it is watched is asked again until the time is up."""
    away = (HangUp(),) * 3
    with playing(order("creating", 1), *away, *away, order("fulfilled", 2)) as stage:
        assert orders_at(stage.server).wait("order_1", until=ended, timeout_s=60)["state"] == "fulfilled"


def test_a_gateway_that_stays_away_is_told() -> None:
    """Away to the end is ServerUnreachable, not a time-out: nobody knows where the thing stands."""
    with playing(order("creating", 1), *((HangUp(),) * 30)) as stage, pytest.raises(ServerUnreachable):
        orders_at(stage.server).wait("order_1", until=ended, timeout_s=4)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(lambda orders: orders.cancel("o"), ("POST", "/v1/orders/o/cancel", {}), id="cancel"),
        pytest.param(
            lambda orders: orders.create(offer="f", size="s", image="i", idempotency_key="k"),
            ("POST", "/v1/orders", {"offer": "f", "size": "s", "image": "i"}),
            id="what is left out is not sent",
        ),
    ],
)
def test_deeds(act: Callable[[Orders], object], expected: tuple[str, str, object]) -> None:
    """Each deed is one POST; a field the caller leaves out is the gateway's to choose."""
    with playing(Played(body={"id": "o"})) as stage:
        act(orders_at(stage.server))

    assert [(asked.method, asked.path, asked.body) for asked in stage.asked] == [expected]
