"""gateway.client.wire: one exchange, and what is repeated when it is lost."""

import socket
from pathlib import Path

import pytest

from gateway.client import AnswerUnreadable, ApiProblem, ServerUnreachable
from gateway.client.address import parse_address
from gateway.client.wire import Exchange, Wire
from tests.support.api_stub import HangUp, Played, Silence, playing, problem

TOKEN = "cw_member_very-secret"


def wire_to(server: str, *, timeout_s: float = 10.0, pauses: list[float] | None = None) -> Wire:
    """Return a wire that notes its pauses instead of making them."""
    noted: list[float] = [] if pauses is None else pauses
    return Wire(address=parse_address(server), token=TOKEN, timeout_s=timeout_s, pause=noted.append)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_lost_post_is_repeated_with_its_key() -> None:
    """A POST whose answer was lost is sent again under the same Idempotency-Key, so that it happens once."""
    with playing(HangUp(), HangUp(), Played(status=201, body={"id": "x"})) as stage:
        answer = wire_to(stage.server).call("POST", "/v1/orders", body={"size": "small"})

    assert answer.body == {"id": "x"}
    assert len(stage.asked) == 3
    assert len({asked.headers["idempotency-key"] for asked in stage.asked}) == 1
    assert all(asked.body == {"size": "small"} for asked in stage.asked)


def test_two_posts_have_two_keys() -> None:
    """Two calls are two intentions: their keys differ."""
    with playing(Played(body={}), Played(body={})) as stage:
        wire = wire_to(stage.server)
        wire.call("POST", "/v1/orders", body={})
        wire.call("POST", "/v1/orders", body={})

    assert len({asked.headers["idempotency-key"] for asked in stage.asked}) == 2


def test_a_callers_own_key_is_used() -> None:
    """A key the caller names goes out as it is, so that a repeat in another process is recognised."""
    with playing(Played(body={})) as stage:
        wire_to(stage.server).call("POST", "/v1/orders", body={}, headers={"Idempotency-Key": "mine"})

    assert stage.asked[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_what_has_no_key_is_sent_once(method: str) -> None:
    """A lost PUT, PATCH or DELETE is told to the caller: whether it happened is unknown."""
    with playing(HangUp()) as stage, pytest.raises(ServerUnreachable):
        wire_to(stage.server).call(method, "/v1/relays/x", body={}, headers={"If-Match": '"1"'})

    assert len(stage.asked) == 1


def test_a_refused_connection_names_the_server() -> None:
    """Nobody listens: the error says where and why, after a few attempts."""
    port, pauses = free_port(), []
    with pytest.raises(ServerUnreachable, match=rf"http://127\.0\.0\.1:{port}: Connection refused"):
        wire_to(f"127.0.0.1:{port}", pauses=pauses).call("GET", "/v1/whoami")

    assert len(pauses) == 2


def test_silence_ends() -> None:
    """A server that accepts and says nothing is left after timeout_s."""
    with playing(Silence()) as stage, pytest.raises(ServerUnreachable, match=r"silent for 0\.05 s"):
        wire_to(stage.server, timeout_s=0.05).call("DELETE", "/v1/relays/x")


def test_a_socket_speaks_the_same(tmp_path: Path) -> None:
    """A gateway on a Unix socket is asked like one on a port."""
    with playing(Played(body={"role": "admin"}), socket_path=tmp_path / "api.sock") as stage:
        answer = wire_to(stage.server).call("GET", "/v1/whoami")

    assert answer.body == {"role": "admin"}
    assert stage.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_patience_asked_for_is_had() -> None:
    """429, and 409 for a POST that is still running, are asked again after Retry-After."""
    pauses: list[float] = []
    running = problem(409, "still-running")
    script = (
        Played(status=429, headers={"Retry-After": "2"}),
        Played(status=409, headers={**running.headers, "Retry-After": "5"}, body=running.body),
        Played(status=201, body={"id": "x"}),
    )
    with playing(*script) as stage:
        answer = wire_to(stage.server, pauses=pauses).call("POST", "/v1/orders", body={})

    assert (answer.status, pauses) == (201, [2.0, 5.0])


@pytest.mark.parametrize(
    "final",
    [
        pytest.param(problem(409, "already-exists"), id="a conflict that stays"),
        pytest.param(problem(503, "cloud-unavailable"), id="a cloud that is away"),
        pytest.param(Played(status=429, headers={"Retry-After": "Sun, 22 Nov 2026 01:00:00 GMT"}), id="a date"),
    ],
)
def test_a_final_no_is_told_at_once(final: Played) -> None:
    """A refusal that names no seconds to wait is not repeated."""
    with playing(final) as stage, pytest.raises(ApiProblem):
        wire_to(stage.server).call("POST", "/v1/orders", body={})

    assert len(stage.asked) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(Played(status=302, headers={"Location": "http://127.0.0.1:1/"}), "redirect", id="redirect"),
        pytest.param(Played(headers={"Content-Type": "application/json"}, body=b"{"), "not the JSON", id="cut"),
        pytest.param(
            Played(headers={"Content-Type": "application/json"}, body=b"[" * 100_000), "not the JSON", id="too deep"
        ),
    ],
)
def test_what_is_not_the_api_is_told(answer: Played, told: str) -> None:
    """A redirect is not followed (the token would go with it) and garbage is not believed."""
    with playing(answer) as stage, pytest.raises(AnswerUnreadable, match=told):
        wire_to(stage.server).call("GET", "/v1/whoami")

    assert len(stage.asked) == 1


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer fills our memory: past the limit it is refused."""
    monkeypatch.setattr("gateway.client.wire.ANSWER_LIMIT_BYTES", 100)
    with playing(Played(body=b"x" * 101)) as stage, pytest.raises(AnswerUnreadable, match="more than 100 bytes"):
        wire_to(stage.server).call("GET", "/v1/whoami")


def test_the_token_never_shows() -> None:
    """Neither the wire's repr, nor an error, nor what a watcher of the traffic sees holds the token."""
    seen: list[Exchange] = []
    with playing(problem(403, "forbidden", detail="no")) as stage:
        wire = wire_to(stage.server)
        wire.on_exchange = seen.append
        with pytest.raises(ApiProblem) as caught:
            wire.call("GET", "/v1/tokens", query={"limit": 5})

    assert TOKEN not in repr(wire) + repr(caught.value) + repr(seen)
    assert [(each.method, each.path, each.status) for each in seen] == [("GET", "/v1/tokens?limit=5", 403)]
