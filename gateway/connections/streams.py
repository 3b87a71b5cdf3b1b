"""Streams of bytes to hosts of a platform's network, within what its owner grants (S1 step 8, for people and programs).

Every stream is a passage: counted, and ended at once when it is closed, its token revoked, the grant narrowed or over.
Names are resolved where the tunnel ends.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from catalog import addresses, passages
from catalog.access import Principal
from catalog.consent import allowed
from catalog.destinations import require_covered
from catalog.errors import CatalogError, CloudUnavailable
from catalog.messages.handshake import Capability
from catalog.model.access import Role
from catalog.model.ids import PlatformId
from catalog.model.passage import Passage, PassageKind
from catalog.model.platform import Platform
from catalog.ports import Address, Clock
from catalog.store import rows
from catalog.store.database import Database, Tx
from gateway.connections.auditing import note_passed, note_shut_out
from gateway.connections.passages import OpenPassage, OpenPassages
from gateway.connections.sessions import Sessions
from gateway.connections.tunnels import LiveConnections
from gateway.connections.watched import GrantedCheck
from gateway.streams.wire import PIECE_BYTES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy:
    """How long the far end may take to answer the dial, and how long a stream may live at the most."""

    dial_timeout_s: float = 15.0
    longest_s: float = passages.LONGEST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A connected stream; what passes is counted in its passage."""

    passage: OpenPassage
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """Return what the platform's side sent next; empty at the end of its half. Raises OSError when it broke."""
        piece = await self.reader.read(PIECE_BYTES)
        self.passage.count(bytes_out=len(piece))
        return piece

    async def write(self, piece: bytes) -> None:
        """Send ``piece`` to the platform's side, waiting while it cannot keep up. Raises OSError when it broke."""
        self.passage.count(bytes_in=len(piece))
        self.writer.write(piece)
        await self.writer.drain()

    def end_writing(self) -> None:
        """Say that no more will be written; reading goes on."""
        self.writer.write_eof()


@dataclass(frozen=True, slots=True)
class Streams:
    """Opens streams over the tunnels of this process."""

    database: Database
    clock: Clock
    live: LiveConnections
    open_passages: OpenPassages
    policy: StreamPolicy = field(default_factory=StreamPolicy)

    @asynccontextmanager
    async def opened(self, principal: Principal, platform: str, *, host: str, port: int) -> AsyncIterator[Stream]:
        """Give a stream to ``host:port`` as seen from the end of the tunnel to ``platform`` (a name or id).

        Leaving closes it and ends its passage. Raises Denied when the grants or the connection do not cover it,
        InvalidValue for an address outside the grammar, NotFound, WrongState, CloudUnavailable, CloudTimedOut; and
        PassageEnded out of the block, which is cancelled then.
        """
        address = Address(host=addresses.host(host), port=addresses.port(port))
        check, row = await self._begun(principal, platform, address)
        async with self.open_passages.opened(row, check) as passage, passage.while_allowed():
            live = self.live.get(row.connection_id)
            if live is None:
                raise CloudUnavailable("the connection to this platform is being established anew")
            if live.is_turned and address not in live.alternatives:
                raise CloudUnavailable(
                    "the platform's connector does not bring this destination along",
                    field="host",
                    fix="its owner names it in [dial_out] of the connector's file",
                )
            sock = await live.open_socket(address, self.policy.dial_timeout_s)
            reader, writer = await asyncio.open_connection(sock=sock, limit=PIECE_BYTES)
            try:
                passage.count(calls=1)
                await Sessions(self.database, self.clock).count(row.connection_id)
                yield Stream(passage=passage, reader=reader, writer=writer)
            finally:
                writer.transport.abort()

    async def _begun(self, principal: Principal, platform: str, address: Address) -> tuple[GrantedCheck, Passage]:
        """Return what is asked again as long as the stream lasts, and the new passage."""
        now_s = self.clock.now_s()
        told = {"what": f"{address.host}:{address.port}"}

        def work(tx: Tx) -> tuple[GrantedCheck, Passage]:
            target = rows.by_name_or_id(tx, Platform, platform)
            check = _check(PlatformId(target.id), _verb(principal, target.id), address)
            row = passages.open_passage(
                tx,
                principal=principal,
                platform_id=target.id,
                kind=PassageKind.STREAM,
                purpose=f"{address.host}:{address.port}",
                ttl_s=self.policy.longest_s,
                now_s=now_s,
            )
            check(tx, now_s)
            note_passed(tx, row, "open_stream", told, now_s)
            return check, row

        try:
            check, row = await self.database.write(work)
        except CatalogError as error:
            refused = error
            await self.database.write(lambda tx: note_shut_out(tx, principal, platform, told, now_s, refused=refused))
            raise
        log.info("stream opened", extra={"passage": row.id, "principal": row.principal, "to": row.purpose})
        return check, row


def _verb(principal: Principal, platform_id: str) -> str:
    """Return which verb of the grant is needed: another platform's is one of its own."""
    joins = principal.role is Role.PLATFORM and principal.subject_id != platform_id
    return "join" if joins else "open"


def _check(platform_id: PlatformId, verb: str, address: Address) -> GrantedCheck:
    def check(tx: Tx, now_s: float) -> None:
        grant = allowed(tx, platform_id, Capability.FORWARD, verb, now_s)
        require_covered(grant.destinations, address)

    return check
