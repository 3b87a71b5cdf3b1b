"""An event loop whose clock jumps to the next timer instead of waiting for it. Not for threads or sockets."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Selects without waiting and lets the time that would have been waited pass at once."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("nothing will ever happen: no timer is set and nothing is ready")
            self.jumped_s += max(0.0, timeout)
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped_s


class LoopClock:
    """A Clock that reads the running loop, so that wall time jumps along; begins at 0."""

    def now_s(self) -> float:
        """Return the loop's time in seconds."""
        return asyncio.get_running_loop().time()


def run_autojump(main: Callable[[], Awaitable[T]]) -> T:
    """Run ``main`` to its end in a loop whose time jumps, and return its result."""

    async def whole() -> Any:
        return await main()

    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        result: T = runner.run(whole())
        return result
