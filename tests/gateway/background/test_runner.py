"""Background work never ends by a failure, never hangs past its deadline, and hears every wake. Time jumps."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from catalog.errors import CloudUnavailable
from gateway.background.runner import END_S, SERVICE_PAUSE_S, SERVICE_WELL_S, BackgroundTask, Runner, Service, contained
from gateway.errors import InternalError, InvalidSettings
from tests.support.autojump import LoopClock, run_autojump


async def run_for(seconds: float, *work: BackgroundTask | Service, disabled: tuple[str, ...] = ()) -> Runner:
    """Run ``work`` for so many virtual seconds and return its runner."""
    runner = Runner(list(work), clock=LoopClock(), disabled=disabled)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await runner.run()
    return runner


async def nothing() -> None:
    """Do nothing."""


def task(run_once: Callable[[], Awaitable[object]], name: str = "t") -> BackgroundTask:
    """Return a task of period 60 s and deadline 5 s."""
    return BackgroundTask(name=name, period_s=60, timeout_s=5, run_once=run_once)


def test_a_hung_run_is_cut_off() -> None:
    """A run that never returns is cancelled after timeout_s and does not stop later runs.

    Cut at 5 s, 70 s (5 + 60 + 5) and 135 s; the run begun at 195 s is cancelled by us at 198 s.
    """
    hung = task(lambda: asyncio.Event().wait())
    run_autojump(lambda: run_for(198, hung))
    assert (hung.runs, hung.failures_in_a_row, hung.last_error) == (3, 3, "TimeoutError")
    assert hung.last_run_at_s == 135.0


def test_a_failed_run_never_ends_the_task() -> None:
    """It is tried again after the period; what it failed with is shown, and forgotten when it succeeds."""
    outcomes: list[Exception | None] = [CloudUnavailable("down"), KeyError("bug"), None]
    seen: list[str] = []

    async def work() -> None:
        seen.append(failing.last_error)
        error = outcomes.pop(0) if outcomes else None
        if error is not None:
            raise error

    failing = task(work)
    run_autojump(lambda: run_for(150, failing))
    assert seen == ["", "cloud-unavailable", "KeyError"]
    assert (failing.runs, failing.failures_in_a_row, failing.last_error) == (3, 0, "")


def test_a_wake_is_not_lost() -> None:
    """Woken while it runs, however often, the task runs once more at once; then it is periodic again."""
    begun_at_s: list[float] = []

    async def work() -> None:
        begun_at_s.append(asyncio.get_running_loop().time())
        if len(begun_at_s) == 1:
            await asyncio.sleep(2)
            woken.wake()
            woken.wake()
            await asyncio.sleep(1)

    woken = task(work)
    run_autojump(lambda: run_for(100, woken))
    assert begun_at_s == [0.0, 3.0, 63.0]


def test_one_task_does_not_wait_for_another() -> None:
    """A task that hangs to its deadline each time leaves the others their periods."""
    other = task(nothing, name="other")
    run_autojump(lambda: run_for(130, task(lambda: asyncio.Event().wait(), name="hung"), other))
    assert other.runs == 3


def test_what_is_disabled_is_shown_and_not_run() -> None:
    """The off switch keeps a task from running; its status says so. An unknown name is refused before anything runs."""
    off, on = task(nothing, name="off"), task(nothing, name="on")
    runner = run_autojump(lambda: run_for(1, off, on, disabled=("off",)))
    assert [(each["name"], each["enabled"], each["runs"]) for each in runner.status()] == [
        ("off", False, 0),
        ("on", True, 1),
    ]
    runner.wake("off")
    with pytest.raises(InvalidSettings) as refused:
        Runner([off, on], clock=LoopClock(), disabled=("of",))
    assert "off, on" in str(refused.value.fix)


def test_what_is_in_memory_only_is_written_down_at_the_end() -> None:
    """What tasks do at the end is done, for a bounded time whatever becomes of the others; not of disabled ones."""
    done: list[str] = []

    def last(name: str) -> BackgroundTask:
        async def work() -> None:
            done.append(name)
            if name == "fails":
                raise KeyError(name)
            if name == "hangs":
                await asyncio.Event().wait()

        return BackgroundTask(name=name, period_s=60, timeout_s=50, run_once=nothing, at_end=work)

    async def story() -> None:
        other, service = task(nothing, name="other"), Service(name="service", run=nothing)
        work = [last("fails"), other, last("hangs"), service, last("off"), last("well")]
        runner = Runner(work, clock=LoopClock(), disabled=("off",))
        await runner.finish()
        assert done == ["fails", "hangs", "well"]
        assert other.runs == 0
        assert asyncio.get_running_loop().time() == END_S
        assert [each.get("last_error") for each in runner.status()][:3] == ["KeyError", "", "TimeoutError"]

    run_autojump(story)


def test_a_service_is_started_again() -> None:
    """One that fails, or returns, begins again after a pause; it counts as ailing until it has run well for a while."""
    ailing: list[str] = []

    async def run() -> None:
        ailing.append(service.last_error)
        if len(ailing) == 1:
            raise CloudUnavailable("down")
        if len(ailing) == 2:
            return
        await asyncio.sleep(SERVICE_WELL_S)
        ailing.append(service.last_error)
        await asyncio.sleep(1)
        ailing.append(service.last_error)
        await asyncio.Event().wait()

    service = Service(name="s", run=run)
    run_autojump(lambda: run_for(2 * SERVICE_PAUSE_S + SERVICE_WELL_S + 5, service))
    assert ailing[:3] == ["", "cloud-unavailable", "cloud-unavailable"]
    assert (ailing[-1], service.restarts, len(ailing)) == ("", 2, 5)


@pytest.mark.parametrize(
    ("raised", "leaves"),
    [
        pytest.param(CloudUnavailable("down"), CloudUnavailable, id="known"),
        pytest.param(KeyError("secret"), InternalError, id="a mistake"),
        pytest.param(ExceptionGroup("several", [KeyError("secret")]), InternalError, id="several at once"),
    ],
)
def test_a_mistake_is_contained(raised: Exception, leaves: type[Exception]) -> None:
    """Known errors pass, anything else leaves as InternalError that repeats none of it; cancelling still cancels."""

    async def work() -> None:
        raise raised

    async def cancelled() -> None:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(contained(asyncio.Event().wait, (CloudUnavailable,)))
            await asyncio.sleep(1)
            waiting.cancel()
        assert waiting.cancelled()

    with pytest.raises(leaves) as left:
        asyncio.run(contained(work, (CloudUnavailable,)))
    assert "secret" not in str(left.value)
    run_autojump(cancelled)
