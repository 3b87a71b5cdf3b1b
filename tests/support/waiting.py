"""Waiting for what has no event to wait on: it is looked at again and again, and never coming true is a failure."""

import asyncio
import inspect
import select
import time
from collections.abc import Callable

_PATIENCE_S = 20.0
_LOOP_PATIENCE_S = 120.0
_PAUSE_S = 0.01
_LOOP_PAUSE_S = 0.005


def wait_until(holds: Callable[[], bool], what: str, *, patience_s: float = _PATIENCE_S) -> None:
    """Wait until ``holds()``; fail with ``what`` when it does not within a generous bound. Blocks its thread."""
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s, f"never came true: {what}"
        select.select([], [], [], _PAUSE_S)


async def until(holds: Callable[[], object]) -> None:
    """Let everything else go on until ``holds()``, awaited where it asks for that; raise TimeoutError in the end."""
    async with asyncio.timeout(_LOOP_PATIENCE_S):
        while True:
            held = holds()
            if await held if inspect.isawaitable(held) else held:
                return
            await asyncio.sleep(_LOOP_PAUSE_S)
