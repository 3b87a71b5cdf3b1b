"""gateway.cli.door: where a command goes, with whose token, and what it exits with."""

from pathlib import Path

import pytest

from gateway.cli.contexts import Context, Contexts, save
from gateway.client.wire import ATTEMPTS
from tests.gateway.cli.conftest import Crossway
from tests.support.api_stub import HangUp, Played, page, playing, problem
from tests.support.network_status import network

TOKEN = "cw_member_from-the-file"
ORDERS = page([{"id": "order_1", "state": "placed", "name": "web"}])
ORDER = Played(status=202, headers={"ETag": '"1"'}, body={"id": "order_1", "state": "creating", "reason": ""})
STEPS = page([{"step": "order.placed", "outcome": "done", "detail": "", "at": "2026-01-01T00:00:00Z"}])
UNCHANGED = Played(status=304, headers={"ETag": '"1"'})
CREATE = ("order", "create", "offer_1", "--size", "s", "--image", "i")


def ended(state: str) -> Played:
    """Return the order as it ended."""
    return Played(headers={"ETag": '"2"'}, body={"id": "order_1", "state": state, "reason": "the cloud said no"})


def test_data_goes_out_and_the_rest_does_not(crossway: Crossway) -> None:
    """Stdout holds the data alone, in each format; what went over the wire is told on stderr when asked for."""
    with playing(ORDERS, ORDERS) as stage:
        table = crossway("order", "list", "--server", stage.server)
        listed = crossway("order", "list", "-o", "json", "--log-http", CROSSWAY_SERVER=stage.server)

    assert table.stdout.splitlines()[1].split() == ["order_1", "web", "-", "-", "placed", "-", "-"]
    assert table.stderr == ""
    assert listed.stdout == '[\n  {\n    "id": "order_1",\n    "state": "placed",\n    "name": "web"\n  }\n]\n'
    assert "GET /v1/orders?limit=200 -> 200" in listed.stderr


def test_a_limit_asks_for_no_more(crossway: Crossway) -> None:
    """--limit stops after so many items, without fetching the next page."""
    with playing(page([{"id": "a"}, {"id": "b"}], "t")) as stage:
        result = crossway("machine", "list", "--limit", "1", "-o", "yaml", "--server", stage.server)

    assert result.stdout == "- id: a\n"


@pytest.mark.parametrize(
    ("situations", "expected"),
    [
        pytest.param([problem(404, "not-found")], 3, id="not found"),
        pytest.param([problem(409, "wrong-state")], 4, id="conflict"),
        pytest.param([problem(403, "denied")], 5, id="denied"),
        pytest.param([problem(500, "internal-error")], 1, id="failed"),
        pytest.param([HangUp()] * 3, 8, id="unreachable"),
        pytest.param([Played(body=b"<html>hello</html>")], 8, id="not a gateway"),
    ],
)
def test_exit_codes(crossway: Crossway, situations: list[Played | HangUp], expected: int) -> None:
    """A failed command exits with its documented code, says why on stderr, and writes no data."""
    with playing(*situations) as stage:
        result = crossway("order", "show", "order_1", "--server", stage.server)

    assert (result.exit_code, result.stdout) == (expected, "")
    assert result.stderr.startswith("error: ")


def test_a_problem_is_told_with_its_request_id(crossway: Crossway) -> None:
    """Field, fix and request id of a problem reach the terminal, without what could steer it."""
    told = problem(422, "invalid-value", detail="no size \x1b[31mhuge", field="size", fix="small", request_id="req_9")
    with playing(told) as stage:
        result = crossway(*CREATE, "--server", stage.server)

    assert result.exit_code == 2
    assert result.stderr.splitlines()[1:] == [
        "  field: size",
        "  fix: small",
        "  code: invalid-value",
        "  request: req_9",
    ]
    assert "\x1b" not in result.stderr


def test_a_missing_token_is_mended_in_the_words_of_a_command_line(crossway: Crossway) -> None:
    """Nobody types a header: the fix is an option and a variable."""
    with playing(problem(401, "unauthenticated", fix="Authorization: Bearer <token>")) as stage:
        result = crossway("order", "list", "--server", stage.server)

    assert result.exit_code == 5
    assert "--token-file FILE, or CROSSWAY_TOKEN_FILE" in result.stderr
    assert "Bearer" not in result.stderr


def test_what_cannot_come_is_not_waited_for(crossway: Crossway) -> None:
    """An unknown platform is an error; one whose newest connection has failed ends the wait with the reason."""
    failed = {"requester": "north", "requester_id": "platform_1", "state": "failed", "reason": "no route"}
    older = {**failed, "id": "connection_1", "created_at": "2026-01-01T00:00:00Z", "reason": "long ago"}
    newest = {**failed, "id": "connection_2", "created_at": "2026-01-02T00:00:00Z"}
    with playing(page([]), page([older, newest])) as stage:
        result = crossway("catalog", "offers", "--platform", "north", "--wait", "--server", stage.server)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "the connection of north has failed: no route" in result.stderr
    assert "route explain connection_2" in result.stderr


def test_waiting_for_an_order(crossway: Crossway) -> None:
    """--wait stays until the order has ended; the steps on the way are told on stderr, the end is data."""
    with playing(ORDER, ORDER, STEPS, ended("fulfilled"), STEPS) as stage:
        result = crossway(*CREATE, "--wait", "-o", "json", "--server", stage.server)

    assert result.exit_code == 0
    assert '"state": "fulfilled"' in result.stdout
    assert result.stderr.splitlines() == ["waiting for order_1", "2026-01-01T00:00:00Z  +0.0 s  accepted"]


def test_a_gateway_that_is_away_for_a_moment_ends_no_wait(crossway: Crossway) -> None:
    """It hangs up while it is asked for the steps: they are shown with the next change."""
    away = [HangUp()] * ATTEMPTS
    with playing(ORDER, ORDER, *away, ended("fulfilled"), STEPS) as stage:
        result = crossway(*CREATE, "--wait", "-o", "json", "--server", stage.server)

    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[-1].endswith("accepted")


def test_waiting_for_what_fails(crossway: Crossway) -> None:
    """An order that ends without a machine is data all the same, and exit code 1."""
    with playing(ORDER, ORDER, STEPS, ended("failed"), STEPS) as stage:
        result = crossway(*CREATE, "--wait", "-o", "json", "--server", stage.server)

    assert result.exit_code == 1
    assert '"state": "failed"' in result.stdout
    assert "the cloud said no" in result.stderr


def test_waiting_in_vain_exits_6(crossway: Crossway) -> None:
    """What is not there in time exits 6; the time may come from the environment."""
    with playing(ORDER, ORDER, STEPS) as stage:
        result = crossway(*CREATE, "--wait", CROSSWAY_ORDER_CREATE_TIMEOUT="0", CROSSWAY_SERVER=stage.server)

    assert result.exit_code == 6
    assert "order_1 is still creating" in result.stderr


def test_some_of_several_failing_exits_7(crossway: Crossway) -> None:
    """Every id is tried: what worked is shown, what did not is told, and the exit code says that some failed."""
    accepted = Played(body={"id": "g1", "state": "accepted"})
    with playing(accepted, problem(409, "wrong-state"), accepted) as stage:
        result = crossway("grant", "accept", "g1", "g2", "g3", "-o", "json", "--server", stage.server)

    assert result.exit_code == 7
    assert "g2:" in result.stderr
    assert "1 of 3 failed" in result.stderr
    assert [asked.path for asked in stage.asked] == [f"/v1/grants/{each}/accept" for each in ("g1", "g2", "g3")]
    assert result.stdout.count('"accepted"') == 2


def test_all_of_several_failing_exits_as_the_first(crossway: Crossway) -> None:
    """When nothing worked, the code is that of the first failure."""
    with playing(problem(404, "not-found"), problem(409, "wrong-state")) as stage:
        assert crossway("grant", "accept", "g1", "g2", "--server", stage.server).exit_code == 3


def test_the_token_comes_from_file_environment_or_context(crossway: Crossway, tmp_path: Path) -> None:
    """--token-file goes before CROSSWAY_TOKEN, and that before the context's."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    with playing(ORDERS, ORDERS, ORDERS) as stage:
        known = {"demo": Context(server=stage.server, token="cw_member_context")}
        save(tmp_path / "contexts.toml", Contexts(known=known, current="demo"))
        crossway("order", "list", "--token-file", str(path), CROSSWAY_TOKEN="cw_member_environment")
        crossway("order", "list", CROSSWAY_TOKEN="cw_member_environment")
        crossway("order", "list")

    sent = [asked.headers["authorization"] for asked in stage.asked]
    assert sent == [f"Bearer {TOKEN}", "Bearer cw_member_environment", "Bearer cw_member_context"]


def test_a_contexts_token_goes_to_its_own_gateway_only(crossway: Crossway, tmp_path: Path) -> None:
    """Another server named on the command line does not learn the token that is kept for the context's."""
    known = {"home": Context(server="http://127.0.0.1:1", token="cw_admin_home")}
    save(tmp_path / "contexts.toml", Contexts(known=known, current="home"))
    with playing(ORDERS) as stage:
        crossway("order", "list", "--server", stage.server)

    assert "authorization" not in stage.asked[0].headers


def test_a_wrong_token_file_asks_nobody(crossway: Crossway, tmp_path: Path) -> None:
    """A token that cannot be one never leaves; the error names the file and not its content."""
    path = tmp_path / "token"
    path.write_text("my password")
    with playing() as stage:
        result = crossway("order", "list", "--server", stage.server, "--token-file", str(path))

    assert (result.exit_code, stage.asked) == (2, [])
    assert str(path) in result.stderr
    assert "password" not in result.stderr


def test_clear_text_over_a_network_is_told(crossway: Crossway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that goes to another machine without TLS is worth a warning."""
    # 192.0.2.0/24 is for documentation; the port of a closed loopback proxy stands in for the way there.
    monkeypatch.setattr("http.client.HTTPConnection.connect", _refuse)
    result = crossway("whoami", "--server", "http://192.0.2.1:8780", CROSSWAY_TOKEN=TOKEN)

    assert result.exit_code == 8
    assert "clear text" in result.stderr


def _refuse(_connection: object) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def test_a_socket_is_a_server(crossway: Crossway, tmp_path: Path) -> None:
    """A gateway on a Unix socket is named unix:/path."""
    with playing(Played(body={"role": "admin", "name": "root"}), socket_path=tmp_path / "s") as stage:
        result = crossway("whoami", "--server", stage.server)

    assert result.stdout.splitlines() == ["FIELD  VALUE", "role   admin", "name   root"]


def test_a_command_s_own_option_stands_in_the_place_of_a_shared_one(crossway: Crossway, tmp_path: Path) -> None:
    """``-o`` is a file where a picture is written; the variable that chooses a format elsewhere has no say there."""
    status = Played(body=network())
    with playing(status, page(network()["links"]), page([])) as stage:
        result = crossway(
            "net", "plot", "-o", str(tmp_path / "p.svg"), "--server", stage.server, CROSSWAY_OUTPUT="yaml"
        )

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
