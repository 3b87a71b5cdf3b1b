"""The capability handshake over a tunnel, the gateway's side (S1 steps 9-12).

The platform's connector says what it has; the gateway selects what fits, asks for it, and records what the owner
granted. Only what both sides granted becomes an offer; see ``gateway.connections.publishing``.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from catalog import grant_rules
from catalog.consent import open_request, propose, record_decision, suggest
from catalog.errors import CloudRefused, CloudUnavailable
from catalog.messages.handshake import (
    CAPABILITY_VERBS,
    OF_THE_OWNER,
    AuthorizationRequest,
    Capability,
    Decision,
    ServiceInformation,
)
from catalog.model.connection import Connection
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId, new_id
from catalog.model.platform import Platform
from catalog.platforms import connector_endpoint
from catalog.ports import ApprovedEndpoint, Clock, PlatformLink
from catalog.store.database import Database, Tx
from catalog.store.rows import by_id
from gateway.connections.tunnels import LiveConnection
from gateway.errors import HandshakeRefused

log = logging.getLogger(__name__)

OpenLink = Callable[[ApprovedEndpoint, Platform, LiveConnection], PlatformLink]


def select(claimed: ServiceInformation, found: ServiceInformation) -> dict[str, tuple[str, ...]]:
    """Return the capabilities worth asking for: what the owner claims, the log-in found and we can offer.

    What is the owner's and not the cloud's, no log-in finds.
    """
    there = OF_THE_OWNER | set(found.services)
    matching = [each for each in Capability if each in claimed.services and each in there]
    return {capability.value: CAPABILITY_VERBS[capability] for capability in matching}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """Puts the gateway's wishes to a platform's owner and records the answer."""

    database: Database
    clock: Clock
    open_link: OpenLink
    gateway_name: str

    async def run(self, live: LiveConnection, found: ServiceInformation) -> list[Grant]:
        """Ask for every matching capability and return the grants as they stand after the answer.

        ``found`` is what the log-in listed. Repeating it asks again under the same request id as long as an answer
        is outstanding. Raises HandshakeRefused when nothing matches, and whatever PlatformLink raises.
        """
        _, accepted = await self._run(live, found, only=None, request_id=None)
        return accepted

    async def renew(
        self, live: LiveConnection, found: ServiceInformation, capabilities: Collection[str], request_id: str
    ) -> Decision:
        """Ask for ``capabilities`` alone, under ``request_id``, and return the owner's answer, which is recorded.

        Whatever else was granted, denied or revoked stays as it is. A fresh id asks for a new decision. Raises as
        ``run`` does.
        """
        decision, _ = await self._run(live, found, only=capabilities, request_id=request_id)
        return decision

    async def _run(
        self, live: LiveConnection, found: ServiceInformation, *, only: Collection[str] | None, request_id: str | None
    ) -> tuple[Decision, list[Grant]]:
        link, platform = await self._link(live)
        claimed = await link.service_information()
        matching = select(claimed, found)
        wanted = {name: verbs for name, verbs in matching.items() if only is None or name in only}
        if not wanted:
            raise HandshakeRefused(
                "the platform's connector offers nothing that its cloud has and this gateway can use",
                field="services",
                fix=f"name some of {', '.join(found.services)} in the connector's [service] services",
            )
        decision = await self._ask(live, link, platform, claimed, wanted, request_id)
        now_s = self.clock.now_s()

        def record(tx: Tx) -> list[Grant]:
            # What is there besides, and nobody asked for: another renewal is no reason to ask the owner for it.
            suggest(tx, platform_id=platform.id, connection_id=live.connection, capabilities=matching, now_s=now_s)
            record_decision(tx, platform_id=platform.id, decision=decision, now_s=now_s)
            return grant_rules.apply(tx, platform.id, now_s)

        accepted = await self.database.write(record)
        log.info(
            "handshake answered",
            extra={"platform": platform.name, "granted": len(decision.granted), "pending": len(decision.pending)},
        )
        return decision, accepted

    async def _ask(  # noqa: PLR0917 a helper of one caller
        self,
        live: LiveConnection,
        link: PlatformLink,
        platform: Platform,
        claimed: ServiceInformation,
        wanted: dict[str, tuple[str, ...]],
        request_id: str | None,
    ) -> Decision:
        """Put the request to the owner, under ``request_id`` or the id of the one that is still open, if any."""
        for fresh in (False, True):
            request = AuthorizationRequest(
                request_id=await self._propose(live, platform, wanted, request_id, fresh=fresh),
                platform=platform.name,
                gateway=self.gateway_name,
                service_information=claimed,
                wanted=wanted,
            )
            try:
                return await link.authorize(request)
            except CloudRefused:
                # The owner has more or less on offer than when the open request was made, so the connector refuses
                # its id for this content: what is asked now is a request of its own.
                if fresh:
                    raise
        raise AssertionError("unreachable: the second round returns or raises")

    async def _link(self, live: LiveConnection) -> tuple[PlatformLink, Platform]:
        def load(tx: Tx) -> tuple[ApprovedEndpoint | None, Platform]:
            return connector_endpoint(tx, live.target), by_id(tx, Platform, live.target)

        endpoint, platform = await self.database.read(load)
        if endpoint is None:
            raise CloudUnavailable(
                f"platform {platform.name} has no approved connector, so nobody can grant its capabilities",
                field="connector",
                fix="enrol it with a connector, and approve the connector's endpoint",
            )
        return self.open_link(endpoint, platform, live), platform

    async def _propose(
        self,
        live: LiveConnection,
        platform: Platform,
        wanted: dict[str, tuple[str, ...]],
        given: str | None,
        *,
        fresh: bool,
    ) -> str:
        now_s = self.clock.now_s()

        def work(tx: Tx) -> str:
            request_id = (None if fresh else given or open_request(tx, platform.id)) or new_id("request", now_s)
            connection = by_id(tx, Connection, live.connection)
            propose(
                tx,
                platform_id=platform.id,
                connection_id=connection.id,
                request_id=request_id,
                wanted=wanted,
                now_s=now_s,
            )
            return request_id

        return await self.database.write(work)


def has_connector(tx: Tx, platform_id: PlatformId) -> bool:
    """Tell whether the platform's owner can be asked at all."""
    return connector_endpoint(tx, platform_id) is not None
