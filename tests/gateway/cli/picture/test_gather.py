"""gateway.cli.picture.gather: which connections are drawn, and how much is asked for."""

from collections.abc import Iterator

import pytest

from gateway.cli.picture.gather import JOURNEY_LIMIT, gathered
from gateway.client import ApiProblem, Client
from tests.support.api_stub import Asked, Played, page, playing, problem
from tests.support.network_status import decision, network

CONNECTION = {"id": "c", "requester": "a", "target": "vault", "route": "fra-1", "state": "established"}


def paths(asked: list[Asked]) -> Iterator[str]:
    """Yield what was asked for, without queries."""
    yield from (each.path.partition("?")[0] for each in asked)


def told() -> tuple[Played, Played]:
    """Return the network as the gateway answers: the status, then one page of links."""
    return Played(body=network()), page(network()["links"])


def test_the_newest_decisions_are_drawn_oldest_first() -> None:
    """The gateway tells the newest first; time runs to the right."""
    history = page([decision(60, "fra-1", "moved"), decision(0, "direct", "first")])
    with playing(*told(), Played(body=CONNECTION), history) as stage:
        text = gathered(Client(stage.server), ["c"])
    assert list(paths(stage.asked)) == [
        "/v1/network/status",
        "/v1/network/links",
        "/v1/connections/c",
        "/v1/connections/c/decisions",
    ]
    assert text.index("08:00:00Z: direct") < text.index("08:01:00Z: fra-1")


def test_without_a_name_the_first_established_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """Of eight connections six are drawn, and it is said that there are more."""
    listed = page([{**CONNECTION, "id": f"c{number}"} for number in range(JOURNEY_LIMIT + 2)])
    with playing(*told(), listed, *[page([])] * JOURNEY_LIMIT) as stage:
        text = gathered(Client(stage.server), ())
    assert "state=established" in stage.asked[2].path
    assert text.count("no decision yet") == JOURNEY_LIMIT
    assert "--connection" in capsys.readouterr().err


def test_a_connection_that_there_is_not_ends_it() -> None:
    """The gateway's own problem is passed on."""
    with playing(*told(), problem(404, "not-found")) as stage, pytest.raises(ApiProblem):
        gathered(Client(stage.server), ["nobody"])
