"""Probe from a relay to the next hop without an agent there: time channels over its SSH connection.

Opening a direct-tcpip channel takes the round trip gateway-relay plus a TCP connect relay-next. The first part
is measured on the same connection by asking for a forward that the relay refuses at once, and is taken off.
The difference is within half a millisecond of the truth when samples are spaced and medians are used. Where the
relay lets us run ``ping``, that is better: no connection is made at the next hop, and loss is loss.
"""

import asyncio
import statistics

import asyncssh

from routing.errors import HopRefused
from routing.probe.passive import acknowledge_at_once
from routing.probe.plan import ProbePolicy
from routing.probe.relay_ping import RelayPing
from routing.probe.tcp import REPEATED_MS, NoAnswer, TcpMethod, answer_ms
from routing.topology import Address

PING = "ping"
# Port 1 (tcpmux) of the relay itself: closed, or not permitted to us. Both are refused within the relay.
_REFUSED = Address("127.0.0.1", 1)
# Back-to-back samples run into the relay's Nagle and our delayed acknowledgements (up to 40 ms); spaced ones do not.
_SPACING_S = 0.1
# What asyncssh.ChannelOpenError.code says when sshd_config or the key's options forbid the address.
_FORBIDDEN = 1


async def probe_beyond(
    connection: asyncssh.SSHClientConnection,
    address: Address,
    method: TcpMethod,
    policy: ProbePolicy,
    pings: RelayPing,
) -> tuple[str, tuple[float | None, ...]]:
    """Return how the link beyond the relay was probed, ``ping`` or ``method``, and its samples.

    ``ping`` is preferred where the relay allows it, the address is no name, and anything came back: a link
    that seems dead to it may be one on which only ICMP is closed. Otherwise as ``probe_via_relay``.
    """
    pinged = await pings.probe(connection, address.host, policy)
    if pinged is not None and any(ms is not None for ms in pinged):
        return PING, pinged
    return method.value, await probe_via_relay(connection, address, method, policy)


async def probe_via_relay(
    connection: asyncssh.SSHClientConnection, address: Address, method: TcpMethod, policy: ProbePolicy
) -> tuple[float | None, ...]:
    """Return the round trip in ms from the relay at the end of ``connection`` to ``address``, per sample.

    None is a sample that was lost: refused, or silent past ``policy.timeout_ms``. Raises HopRefused when the relay's
    configuration forbids the address: that is not the link's loss.
    """
    to_relay: list[float] = []
    beyond: list[float | None] = []
    for _ in range(policy.samples):
        to_relay += [ms for ms in [await _relay_ms(connection, policy)] if ms is not None]
        beyond.append(await _sample_ms(connection, address, method, policy))
        await asyncio.sleep(max(_SPACING_S, policy.interval_ms / 1000))
    if not to_relay:
        return tuple(None for _ in beyond)
    near_ms = statistics.median(to_relay)
    # Two measurements' noise can exceed a very short link.
    return tuple(None if ms is None or ms - near_ms >= REPEATED_MS else max(0.0, ms - near_ms) for ms in beyond)


async def _relay_ms(connection: asyncssh.SSHClientConnection, policy: ProbePolicy) -> float | None:
    started_s = _now_s(connection)
    try:
        async with asyncio.timeout(policy.timeout_ms / 1000):
            _, writer = await connection.open_connection(_REFUSED.host, _REFUSED.port, encoding=None)
            writer.close()
    except asyncssh.ChannelOpenError:
        pass  # As expected: the refusal is the answer that was timed.
    except (asyncssh.Error, OSError, TimeoutError):
        return None
    return (_now_s(connection) - started_s) * 1000


async def _sample_ms(
    connection: asyncssh.SSHClientConnection, address: Address, method: TcpMethod, policy: ProbePolicy
) -> float | None:
    started_s = _now_s(connection)
    try:
        async with asyncio.timeout(policy.timeout_ms / 1000):
            reader, writer = await connection.open_connection(address.host, address.port, encoding=None)
            opened_ms = (_now_s(connection) - started_s) * 1000
            try:
                return opened_ms if method is TcpMethod.CONNECT else await answer_ms(reader, writer, method)
            finally:
                writer.channel.abort()
    except asyncssh.ChannelOpenError as error:
        if error.code == _FORBIDDEN:
            raise HopRefused(f"the relay before it does not permit {address}", hop=str(address)) from error
        return None
    except (asyncssh.Error, OSError, TimeoutError, NoAnswer):
        return None


def _now_s(connection: asyncssh.SSHClientConnection) -> float:
    """Return loop time, having asked the kernel to acknowledge the next reply at once."""
    acknowledge_at_once(connection)
    return asyncio.get_running_loop().time()
