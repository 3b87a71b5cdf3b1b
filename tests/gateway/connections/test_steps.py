"""Steps are recorded as they pass, with the code of what stopped them, and told to the checkpoint."""

import asyncio
import contextlib

import pytest

from catalog.errors import CloudRefused
from tests.support.connecting import Connecting


def test_a_step_that_nobody_declared_is_a_mistake(world: Connecting) -> None:
    """Crash tests walk CONNECT_STEPS: a step beside the list would never be crashed at."""
    connection = world.request()

    async def run() -> None:
        with pytest.raises(AssertionError):
            async with world.steps.step(connection, "connect.dance"):
                pass
        assert await world.outcomes(connection) == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(None, ["begun", "done"], id="done"),
        pytest.param(CloudRefused("no"), ["begun", "failed"], id="failed"),
        pytest.param(KeyError("bug"), ["begun"], id="a bug: neither"),
    ],
)
def test_what_became_of_a_step(world: Connecting, error: Exception | None, expected: list[str]) -> None:
    """A known error is recorded and goes on to the caller; the checkpoint hears of the beginning, and of a good end."""
    connection = world.request()

    async def run() -> None:
        with contextlib.suppress(CloudRefused, KeyError):
            async with world.steps.step(connection, "connect.log-in"):
                if error is not None:
                    raise error
            assert error is None
        assert [outcome for _, outcome in await world.outcomes(connection)] == expected
        heard = ["connect.log-in.begin"] + ["connect.log-in.end"] * (error is None)
        assert world.checkpoint.reached_steps == heard

    asyncio.run(run())
