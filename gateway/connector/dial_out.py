"""Dial out to a relay and be reached through it: for platforms behind NAT or a firewall that lets nobody in.

The relay is asked to listen on its own loopback, at ports of its choice, one per thing that the file names; what
connects there is connected here to that very thing, and to nothing else. A connection that ends is made again, ever
more slowly.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncssh

from catalog.ports import Address
from gateway.client.problems import ClientError
from gateway.connector.gateway_door import GatewayDoor
from gateway.connector.outward import DialOut, RelayAccess

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_KEY_EXCHANGES = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class DialPolicy:
    """How patient the connector is. A relay is silent for keepalive_s * (keepalive_count + 1) before it is given up."""

    connect_timeout_s: float = 20.0
    keepalive_s: float = 10.0
    keepalive_count: int = 3
    pause_first_s: float = 1.0
    pause_longest_s: float = 60.0
    steady_s: float = 60.0  # a connection that lasted so long was a good one: the next pause is the first again


@dataclass(slots=True, kw_only=True)
class DialingOut:
    """One connector's connections to its relays, and what they gave it."""

    plan: DialOut
    key: asyncssh.SSHKey
    door: GatewayDoor
    policy: DialPolicy = field(default_factory=DialPolicy)
    # By relay, the ports it gave last: asked for again, so that a short interruption changes nothing.
    _ports: dict[str, Mapping[str, int]] = field(default_factory=dict)

    async def run(self) -> None:
        """Stay connected to every relay until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for relay in self.plan.relays:
                tasks.create_task(self._stay(relay))

    async def _stay(self, relay: RelayAccess) -> None:
        loop, pause_s = asyncio.get_running_loop(), self.policy.pause_first_s
        while True:
            began_s = loop.time()
            try:
                await self._once(relay)
                reason = "the connection ended"
            except (asyncssh.Error, asyncssh.ChannelListenError, OSError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}"
            except ClientError as error:
                reason = f"the gateway does not take the announcement: {error}"
            steady = loop.time() - began_s >= self.policy.steady_s
            pause_s = self.policy.pause_first_s if steady else pause_s
            log.warning("relay lost", extra={"relay": relay.name, "reason": reason, "again_in_s": round(pause_s, 1)})
            # Spread out, or all connectors of a relay that comes back would come at once.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 nothing secret
            pause_s = min(self.policy.pause_longest_s, 2 * pause_s)

    async def _once(self, relay: RelayAccess) -> None:
        """Connect, have ports, announce them, and return when the connection has ended."""
        async with asyncio.timeout(self.policy.connect_timeout_s):
            connection = await self._connect(relay)
        async with connection:
            async with asyncio.timeout(self.policy.connect_timeout_s):
                ports = {name: await self._listen(connection, relay, name, to) for name, to in self._targets()}
            await self.door.announce(relay.name, ports)
            self._ports[relay.name] = ports
            log.info("reached through relay", extra={"relay": relay.name, "ports": ports})
            await connection.wait_closed()

    def _targets(self) -> list[tuple[str, Address]]:
        return sorted(self.plan.targets.items())

    async def _connect(self, relay: RelayAccess) -> asyncssh.SSHClientConnection:
        key = asyncssh.import_public_key(relay.host_key)
        return await asyncssh.connect(
            relay.address.host,
            relay.address.port,
            username=relay.user,
            known_hosts=([key], [], []),
            client_keys=[self.key],
            config=None,
            agent_path=None,
            preferred_auth=["publickey"],
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            gss_kex=False,
            gss_auth=False,
            x509_trusted_certs=None,
            kex_algs=_KEY_EXCHANGES,
            encryption_algs=_CIPHERS,
            mac_algs=_MACS,
            compression_algs=None,
            login_timeout=0,  # the timeout around us covers it
            keepalive_interval=self.policy.keepalive_s,
            keepalive_count_max=self.policy.keepalive_count,
        )

    async def _listen(
        self, connection: asyncssh.SSHClientConnection, relay: RelayAccess, name: str, to: Address
    ) -> int:
        """Return the port of the relay's loopback that leads to ``to``: the one of before, if it can be had again."""
        for wanted in (self._ports.get(relay.name, {}).get(name, 0), 0):
            try:
                listener = await connection.forward_remote_port(LOOPBACK, wanted, to.host, to.port)
            except asyncssh.ChannelListenError:
                if not wanted:
                    raise
            else:
                return int(listener.get_port())
        raise AssertionError("unreachable: port 0 returns or raises")
