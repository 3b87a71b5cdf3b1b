"""Run background tasks: periodic and woken, cut off at their deadline, never ended by a failure.

The only place, beside the HTTP edge, that catches every exception: one failed run must not end the work, and a mistake
in one of the many things that a service keeps must not end the others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from catalog.ports import Clock
from gateway.errors import InternalError, InvalidSettings

T = TypeVar("T")

log = logging.getLogger(__name__)

# A service that fails at once on every start must not spin.
SERVICE_PAUSE_S = 1.0
# After this long without a failure a service counts as well again.
SERVICE_WELL_S = 10.0
# Whoever stops the process waits for what is done at its end.
END_S = 5.0


async def contained(work: Callable[[], Awaitable[T]], known: tuple[type[Exception], ...]) -> T:
    """Return what ``work`` returns; an exception that is none of ``known`` is logged and leaves as InternalError."""
    try:
        return await work()
    except known:
        raise
    except Exception as error:  # see the module's docstring
        log.exception("unexpected error")
        raise InternalError("a mistake of ours; the log says more") from error


class Work(Protocol):
    """What a runner runs: under a name, until it is cancelled."""

    @property
    def name(self) -> str:
        """Return how it is called in settings, logs and the API."""

    async def run_forever(self, clock: Clock) -> None:
        """Run until cancelled; no failure ends it."""

    def wake(self) -> None:
        """Ask for what is due to be done now."""

    def status(self) -> dict[str, Any]:
        """Return what the API shows of it."""


@dataclass(slots=True, kw_only=True)
class BackgroundTask:
    """Work that is done every ``period_s`` and whenever it is woken; one run takes at most ``timeout_s``.

    ``at_end`` is done once when the process ends: it writes down what is in memory only.
    """

    name: str
    run_once: Callable[[], Awaitable[object]]
    period_s: float
    timeout_s: float
    at_end: Callable[[], Awaitable[object]] | None = None
    runs: int = 0
    failures_in_a_row: int = 0
    last_error: str = ""
    last_run_at_s: float | None = None
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Ask for a run now; many wakes before the next run are one."""
        self._woken.set()

    async def run_forever(self, clock: Clock) -> None:
        """Run until cancelled. One failed run never ends the task; the next period retries it."""
        while True:
            self._woken.clear()
            await self._attempt(clock, self.run_once, self.timeout_s)
            await self._wait_due()

    async def finish(self, clock: Clock) -> None:
        """Do what is done at the end, for a few seconds at most; whatever it fails with is noted."""
        if self.at_end is not None:
            await self._attempt(clock, self.at_end, min(END_S, self.timeout_s))

    async def _attempt(self, clock: Clock, work: Callable[[], Awaitable[object]], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await work()
        except Exception as error:  # noqa: BLE001  # see the module's docstring
            self._failed(error)
        else:
            self._succeeded()
        self.runs += 1
        self.last_run_at_s = clock.now_s()

    async def _wait_due(self) -> None:
        try:
            async with asyncio.timeout(self.period_s):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _failed(self, error: Exception) -> None:
        self.failures_in_a_row += 1
        self.last_error = getattr(error, "code", "") or type(error).__name__
        # Logged when it breaks, not at every repetition of the same trouble.
        if self.failures_in_a_row == 1:
            log.warning("background task failed", extra={"task": self.name}, exc_info=error)

    def _succeeded(self) -> None:
        if self.failures_in_a_row:
            log.info("background task recovered", extra={"task": self.name, "failures": self.failures_in_a_row})
        self.failures_in_a_row = 0
        self.last_error = ""

    def status(self) -> dict[str, Any]:
        """Return what the API shows of this task."""
        return {
            "name": self.name,
            "period_s": self.period_s,
            "timeout_s": self.timeout_s,
            "runs": self.runs,
            "failures_in_a_row": self.failures_in_a_row,
            "last_error": self.last_error,
            "last_run_at_s": self.last_run_at_s,
        }


@dataclass(slots=True, kw_only=True)
class Service:
    """Work that never returns by itself (a consumer, a keeper); started again after a failure."""

    name: str
    run: Callable[[], Awaitable[None]]
    wake: Callable[[], None] = lambda: None
    restarts: int = 0
    last_error: str = ""

    async def run_forever(self, clock: Clock) -> None:  # noqa: ARG002  # the same shape as a task's
        """Run until cancelled; begin again, after a pause, when ``run`` fails or returns."""
        while True:
            well = asyncio.get_running_loop().call_later(SERVICE_WELL_S, self._recovered)
            try:
                await self.run()
            except Exception as error:  # see the module's docstring
                self.last_error = getattr(error, "code", "") or type(error).__name__
                log.exception("service failed and is started again", extra={"service": self.name})
            finally:
                well.cancel()
            self.restarts += 1
            await asyncio.sleep(SERVICE_PAUSE_S)

    def _recovered(self) -> None:
        if self.last_error:
            log.info("service recovered", extra={"service": self.name})
        self.last_error = ""

    def status(self) -> dict[str, Any]:
        """Return what the API shows of this service."""
        return {"name": self.name, "restarts": self.restarts, "last_error": self.last_error}


class Runner:
    """Owns every background task and service of a process."""

    def __init__(self, work: Sequence[Work], *, clock: Clock, disabled: tuple[str, ...] = ()) -> None:
        """Take the work; names in ``disabled`` are registered, shown and never run."""
        self._work = {item.name: item for item in work}
        self._clock = clock
        self._disabled = set(disabled)
        if unknown := self._disabled - set(self._work):
            known = ", ".join(sorted(self._work))
            raise InvalidSettings(
                f"background.disabled names no task: {', '.join(sorted(unknown))}",
                field="background.disabled",
                fix=f"known are {known}",
            )

    def wake(self, name: str) -> None:
        """Wake the task called ``name``. Harmless while it runs: it runs once more."""
        self._work[name].wake()

    def status(self) -> list[dict[str, Any]]:
        """Return the status of all work, in order of registration."""
        return [{**item.status(), "enabled": name not in self._disabled} for name, item in self._work.items()]

    async def run(self) -> None:
        """Run everything until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, item in self._work.items():
                if name not in self._disabled:
                    tasks.create_task(item.run_forever(self._clock), name=name)

    async def finish(self) -> None:
        """Do what tasks do at the end: after ``run`` ended, and everybody who gave them work."""
        for name, item in self._work.items():
            if isinstance(item, BackgroundTask) and name not in self._disabled:
                await item.finish(self._clock)
