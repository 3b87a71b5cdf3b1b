"""Notice that a hop is gone: an SSH connection by its end, a direct target by connecting to it.

A black-holed relay ends by itself only because keepalives, which ``hops`` always turns on, and heartbeats end it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import asyncssh

from routing.topology import Address
from routing.tunnel.heartbeat import Heartbeat, Listener
from routing.tunnel.liveness import Health, LivenessPolicy
from routing.tunnel.policy import TunnelPolicy


class HopWatch(asyncssh.SSHClient):
    """Hears of the end of one hop's connection, and tells everybody who shares it."""

    def __init__(self, hop: str) -> None:
        self.hop = hop
        self.reason: str | None = None  # None: not ended
        self._listeners: list[Callable[[], None]] = []
        self._heartbeat: Heartbeat | None = None

    def heartbeat(self, chain: Sequence[asyncssh.SSHClientConnection], policy: LivenessPolicy) -> Heartbeat:
        """Return the one heartbeat of this connection, the last of ``chain``; the first to ask sets its policy."""
        if self._heartbeat is None:
            self._heartbeat = Heartbeat(chain, policy)
        return self._heartbeat

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` once when the connection ends; at once when it has."""
        if self.reason is not None:
            listener()
        else:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Do not call ``listener`` any more; harmless when it is not known."""
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep why, in words of ours: the far side's own words are not repeated."""
        if isinstance(exc, asyncssh.ConnectionLost):
            self.reason = f"{self.hop}: connection lost or silent"
        elif exc is not None:
            self.reason = f"{self.hop}: connection failed ({type(exc).__name__})"
        else:
            self.reason = f"{self.hop}: connection closed"
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


async def wait_unreachable(address: Address, policy: TunnelPolicy, told: Listener) -> str:
    """Wait until ``address`` has refused or ignored ``direct_misses`` connects in a row; return that in words.

    ``told`` hears that it is suspect after the first of them, and that it is healthy after one that was answered.
    """
    failures = 0
    while failures < policy.direct_misses:
        await asyncio.sleep(policy.keepalive_s)
        failures = 0 if await _answers(address, policy.keepalive_s) else failures + 1
        told(Health.SUSPECT if failures else Health.HEALTHY)
    return f"{address}: no answer to {failures} connects in a row"


async def _answers(address: Address, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
