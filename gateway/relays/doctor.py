"""Say what is wrong with a relay and what would be right, by trying what a tunnel needs and what nobody should be let.

Every check is one finding. A check that could not be made, because one before it failed, is left out. Whatever is
tried is harmless where it succeeds: a closed port, a port nobody dials, a command that prints.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncssh

from catalog.model.network import Relay
from catalog.ports import Clock
from catalog.relay_care import KeyFile
from gateway.relays.facts import Finding, judged, parsed, said
from gateway.relays.reach import Reach, ask
from routing.errors import HostKeyMismatch, RoutingError
from routing.topology import Node, Topology
from routing.tunnel.policy import TunnelCredentials, certificate

_TRY_S = 5.0
# A granted network is a line per address, and behind most of them nobody answers: an admin waits no longer for all.
_DIALS_S = 20.0
_DIALS_AT_ONCE = 16
_MARK = "crossway-doctor-42"
_PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
_CLOSED_PORT = ("127.0.0.1", 1)
# Nothing permits it and nothing should: any address at all would do.
_FOREIGN = ("127.0.0.1", 2)
# Sockets that most hosts have and everybody there may open; nothing is written to them.
_SOCKETS = ("/run/systemd/journal/stdout", "/run/dbus/system_bus_socket")
# sshd gives the same answer for a socket that it must not open and for one that is not there.
_REFUSALS = (asyncssh.Error, asyncssh.ChannelListenError, OSError, TimeoutError)

# What a failure to connect means here, by the end of its text or its kind, and what would be right.
_FIXES: tuple[tuple[str, str, str], ...] = (
    ("in time", "reachable", "is the host up, and may the hop before it dial that address?"),
    ("listens there", "reachable", "start sshd there, or correct the relay's address"),
    ("or may not", "reachable", "the relay before it must permit the address: crossway relay show"),
    (
        "key exchange",
        "algorithms",
        "its sshd_config: Ciphers aes128-gcm@openssh.com,…; KexAlgorithms curve25519-sha256",
    ),
    # An sshd that finds no algorithm in common, or has too many connections, may be gone before it says so.
    (
        "before it stood",
        "algorithms",
        "its sshd_config: Ciphers aes128-gcm@openssh.com,…; else MaxStartups; see its log",
    ),
    ("for that user", "log-in", "put our key into its account: crossway relay bootstrap"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A relay to be examined: how it is reached and what its key file should hold."""

    network: Topology
    way: tuple[str, ...]
    node: Node
    relay: Relay
    wanted: KeyFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Examines relays over the way that tunnels take. ``caretaker`` is what the caretakers know us by.

    ``sockets`` are those of a host's file system that it is tried on; after ``dials_s`` no further address is dialled.
    """

    reach: Reach
    caretaker: TunnelCredentials
    clock: Clock
    sockets: tuple[str, ...] = _SOCKETS
    dials_s: float = _DIALS_S

    async def examine(self, patient: Patient, facts: Mapping[str, str]) -> list[Finding]:
        """Return the findings, in the order of the checks; ``facts`` are what an admin read at the host itself."""
        found = [said("enabled", ok=True)] if patient.relay.enabled else [_disabled(patient.relay)]
        try:
            async with self.reach.to(patient.network, patient.way, patient.node) as connection:
                found += _connected(connection)
                found += await _forwarding(connection, patient, self.dials_s)
                found += await _too_much(connection, self.sockets)
        except RoutingError as error:
            found += [await self._explained(error, patient)]
        found += await self._by_caretaker(patient)
        return found + judged(facts, self.clock.now_s())

    async def _explained(self, error: RoutingError, patient: Patient) -> Finding:
        if isinstance(error, HostKeyMismatch):
            fix = "find out why; if it was changed on purpose: crossway relay set --host-key-file"
            return said("host-key", ok=False, detail=str(error), fix=fix)
        if patient.node.certified and str(error).endswith("for that user"):
            skew = await self._skew(patient)
            if skew:
                return said("clock", ok=False, detail=skew, fix="run a time service there, and here")
        for end, check, fix in _FIXES:
            if str(error).endswith(end):
                return said(check, ok=False, detail=str(error), fix=fix)
        return said("reachable", ok=False, detail=str(error), fix="see what its sshd logs")

    async def _skew(self, patient: Patient) -> str:
        """Return which way the relay's clock is wrong: a certificate for another time is let in. Empty: neither way."""
        credentials = self.reach.credentials
        for since, until, words in (("-1d", "-2m", "behind"), ("+3m", "+1d", "ahead")):
            shown = _Certified(client_key=credentials.client_key, authority=credentials.authority)
            shown.window = (since, until)
            try:
                async with self.reach.to(patient.network, patient.way, patient.node, shown):
                    return f"{patient.relay.name}: its clock is {words} of ours by minutes or more"
            except RoutingError:
                continue
        return ""

    async def _by_caretaker(self, patient: Patient) -> list[Finding]:
        relay, name = patient.relay, patient.relay.name
        if not relay.caretaker:
            detail = "nobody keeps its list of addresses"
            return [said("caretaker", ok=None, detail=detail, fix=f"crossway relay bootstrap {name}")]
        account = replace(patient.node, user=relay.caretaker, certified=False)
        try:
            async with self.reach.to(patient.network, patient.way, account, self.caretaker) as connection:
                held = (await ask(connection, "show\n", hop=name, timeout_s=_TRY_S)).splitlines()
                told = parsed(await ask(connection, "facts\n", hop=name, timeout_s=_TRY_S))
        except RoutingError as error:
            return [said("caretaker", ok=False, detail=str(error), fix=f"crossway relay bootstrap {name}")]
        same = held == patient.wanted.lines
        detail = "" if same else "its key file holds something else than it should"
        listed = said("key-file", ok=same, detail=detail, fix="it is written within a minute; see crossway relay show")
        return [said("caretaker", ok=True), listed, *judged(told, self.clock.now_s())]


class _Certified(TunnelCredentials):
    """Credentials whose certificate is for another time than now."""

    window: tuple[str, str] = ("-2m", "+3m")

    def shown_to(self, relay: Node) -> asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]:
        """Return our key with a certificate for that time."""
        assert self.authority is not None
        since, until = self.window
        return self.client_key, certificate(self.client_key, self.authority, relay.user, since, until)


def _disabled(relay: Relay) -> Finding:
    return said("enabled", ok=None, detail="no new route uses it", fix=f"crossway relay enable {relay.name}")


def _connected(connection: asyncssh.SSHClientConnection) -> list[Finding]:
    cipher = str(connection.get_extra_info("send_cipher"))
    version = str(connection.get_extra_info("server_version"))
    algorithms = said("algorithms", ok=True, detail=f"{cipher}, {version}")
    return [said("reachable", ok=True), said("host-key", ok=True), algorithms, said("log-in", ok=True)]


async def _forwarding(connection: asyncssh.SSHClientConnection, patient: Patient, dials_s: float) -> list[Finding]:
    """Dial the closed port, by which forwarding as such is seen, and then each address on the list."""
    outcome = await _opened(connection, *_CLOSED_PORT)
    if outcome == _PROHIBITED:
        closed = f'permitopen="{_CLOSED_PORT[0]}:{_CLOSED_PORT[1]}" beside its addresses'
        fix = f"its sshd_config: AllowTcpForwarding local; and the key's options: port-forwarding, {closed}"
        return [said("forwarding", ok=False, detail="it forwards nothing to its own closed port", fix=fix)]
    turns, ends_s = asyncio.Semaphore(_DIALS_AT_ONCE), asyncio.get_running_loop().time() + dials_s
    async with asyncio.TaskGroup() as tasks:
        dials = [
            tasks.create_task(_dialled(connection, address, patient.relay.name, turns, ends_s))
            for address in patient.wanted.addresses
            if address != f"{_CLOSED_PORT[0]}:{_CLOSED_PORT[1]}"
        ]
    return [said("forwarding", ok=True), *(dial.result() for dial in dials)]


async def _dialled(
    connection: asyncssh.SSHClientConnection, address: str, name: str, turns: asyncio.Semaphore, ends_s: float
) -> Finding:
    check = f"permits {address}"
    host, _, port = address.rpartition(":")
    async with turns:
        if asyncio.get_running_loop().time() >= ends_s:
            return said(check, ok=None, detail="it was not tried: the addresses before it took too long")
        outcome = await _opened(connection, host.strip("[]"), int(port))
    if outcome is None:
        return said(check, ok=True)
    if outcome == _PROHIBITED:
        return said(check, ok=False, detail="it may not be dialled from there", fix=f"crossway relay bootstrap {name}")
    return said(check, ok=False, detail="nothing answers there", fix="is that host up, and is the address right?")


async def _opened(connection: asyncssh.SSHClientConnection, host: str, port: int) -> int | None:
    """Return None when a channel to the address opened, else SSH's reason why not."""
    try:
        async with asyncio.timeout(_TRY_S):
            _, writer = await connection.open_connection(host, port)
    except asyncssh.ChannelOpenError as error:
        return error.code
    except TimeoutError:
        return asyncssh.OPEN_CONNECT_FAILED
    writer.close()
    return None


async def _too_much(connection: asyncssh.SSHClientConnection, sockets: Sequence[str]) -> list[Finding]:
    """Try what a relay's account should not be let do."""
    return [
        _judged(
            "other addresses",
            await _opened(connection, *_FOREIGN) != _PROHIBITED,
            "list the addresses it may dial: permitopen in the key's options",
        ),
        _judged(
            "commands", await _runs(connection), 'the key\'s options: restrict,command="/bin/false"; shell: nologin'
        ),
        _judged("listening ports", await _listens(connection), 'the key\'s options: permitlisten="localhost:1"'),
        _judged(
            "unix sockets",
            await _dials_socket(connection, sockets),
            "its sshd_config, for that user: AllowStreamLocalForwarding no",
        ),
    ]


def _judged(what: str, allowed: bool | None, fix: str) -> Finding:  # noqa: FBT001  an answer, not a switch
    if allowed is None:
        return said(f"refuses {what}", ok=None, detail="it did not let us, or has none of those that were tried")
    return said(f"refuses {what}", ok=not allowed, detail="it lets us" if allowed else "", fix=fix)


async def _runs(connection: asyncssh.SSHClientConnection) -> bool:
    try:
        async with asyncio.timeout(_TRY_S):
            done = await connection.run("echo crossway-doctor-$((40 + 2))", check=False, stdin=asyncssh.DEVNULL)
    except _REFUSALS:
        return False
    return _MARK in str(done.stdout)


async def _listens(connection: asyncssh.SSHClientConnection) -> bool:
    try:
        async with asyncio.timeout(_TRY_S):
            listener = await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
    except _REFUSALS:
        return False
    listener.close()
    return True


async def _dials_socket(connection: asyncssh.SSHClientConnection, paths: Sequence[str]) -> bool | None:
    """Tell whether the relay connects to one of its sockets; None: not to these, which it may not have."""
    for path in paths:
        try:
            async with asyncio.timeout(_TRY_S):
                _, writer = await connection.open_unix_connection(path)
        except _REFUSALS:
            continue
        writer.close()
        return True
    return None
