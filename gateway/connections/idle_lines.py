"""Lines that nobody uses just now, kept for the next request to the same endpoint over the same tunnel."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from catalog.ports import ApprovedEndpoint
from gateway.connections.lines import Line
from routing.tunnel.tunnel import Tunnel


@dataclass(frozen=True, slots=True)
class _Idle:
    line: Line
    since_s: float  # by the loop's clock


class IdleLines:
    """At most ``limit`` lines for each endpoint and tunnel, none of them unused for longer than ``idle_s``."""

    def __init__(self, *, limit: int, idle_s: float) -> None:
        """Start with none."""
        self._limit = limit
        self._idle_s = idle_s
        self._idle: dict[tuple[Tunnel, ApprovedEndpoint], list[_Idle]] = {}

    def __len__(self) -> int:
        return sum(len(kept) for kept in self._idle.values())

    def take(self, tunnel: Tunnel, endpoint: ApprovedEndpoint) -> Line | None:
        """Return the line that was used last, if one is still open; it is the caller's then."""
        kept = self._idle.get((tunnel, endpoint), [])
        found = next((each for each in reversed(kept) if self._is_good(each)), None)
        if found is None:
            return None
        kept.remove(found)
        return found.line

    def has(self, tunnel: Tunnel, endpoint: ApprovedEndpoint) -> bool:
        """Tell whether ``take`` would find a line."""
        return any(self._is_good(each) for each in self._idle.get((tunnel, endpoint), ()))

    async def put(self, tunnel: Tunnel, endpoint: ApprovedEndpoint, line: Line) -> None:
        """Keep ``line``, or close it when there are enough or it is of no more use."""
        kept = self._idle.setdefault((tunnel, endpoint), [])
        if len(kept) < self._limit and line.is_open and not tunnel.is_lost:
            kept.append(_Idle(line, asyncio.get_running_loop().time()))
        else:
            await line.close()

    async def sweep(self, in_use: Collection[Tunnel]) -> None:
        """Close what is over tunnels other than ``in_use``, what is too old, and what its far end has closed."""
        doomed: list[Line] = []
        # Closing waits, and others put and take meanwhile: what stays is settled before.
        for key, kept in tuple(self._idle.items()):
            good = [each for each in kept if key[0] in in_use and self._is_good(each)]
            doomed += [each.line for each in kept if each not in good]
            if good:
                self._idle[key] = good
            else:
                del self._idle[key]
        for line in doomed:
            await line.close()

    async def close(self) -> None:
        """Close them all. May be repeated."""
        await self.sweep(())

    def _is_good(self, idle: _Idle) -> bool:
        return idle.line.is_open and asyncio.get_running_loop().time() - idle.since_s < self._idle_s
