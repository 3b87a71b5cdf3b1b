"""The gateway's talk with one platform's owner, over a real database: asked, answered, accepted, looked at."""

from dataclasses import dataclass

from catalog import consent, publish
from catalog.messages.handshake import Decision, GrantedCapability
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import ConnectionId, PlatformId
from catalog.model.offering import Offer
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.stores import Store, add_connection, add_platform

WANTED = {"machine": ("create", "list", "destroy"), "size": ("list",), "image": ("list",)}


@dataclass(frozen=True, slots=True)
class Talk:
    """One platform and the gateway's talk with its owner."""

    store: Store
    platform: PlatformId
    connection: ConnectionId

    def propose(self, request_id: str = "r1", wanted: dict[str, tuple[str, ...]] | None = None) -> list[Grant]:
        """Ask the owner."""
        return self.store.write(
            lambda tx: consent.propose(
                tx,
                platform_id=self.platform,
                connection_id=self.connection,
                request_id=request_id,
                wanted=WANTED if wanted is None else wanted,
                now_s=self.store.now_s,
            )
        )

    def answer(
        self,
        *granted: GrantedCapability,
        pending: tuple[str, ...] = (),
        request_id: str = "r1",
        serial: int | None = None,
    ) -> None:
        """Record the owner's answer."""
        decision = Decision(request_id=request_id, granted=granted, pending=pending, signed="evidence", serial=serial)
        self.store.write(
            lambda tx: consent.record_decision(tx, platform_id=self.platform, decision=decision, now_s=self.store.now_s)
        )

    def grant(self, capability: str = "machine") -> Grant:
        """Return the grant as it is now."""
        found = self.store.read(lambda tx: rows.first(tx, Grant, platform_id=self.platform, capability=capability))
        assert found is not None
        return found

    def states(self) -> dict[str, GrantState]:
        """Return every grant's state."""
        return {each.capability: each.state for each in self.store.read(lambda tx: rows.where(tx, Grant))}

    def accepted(self, **terms: float) -> Grant:
        """Go the whole way to an accepted, published grant for machines."""
        self.propose()
        self.answer(granted("machine", "create", "list", **terms))
        grant_id = self.grant().id

        def accept(tx: Tx) -> Grant:
            grant = consent.accept(tx, grant_id, self.store.now_s)
            publish.publish(tx, grant, self.store.now_s)
            return grant

        return self.store.write(accept)

    def offer(self) -> Offer:
        """Return the one offer."""
        return self.store.read(lambda tx: rows.where(tx, Offer))[0]

    def allowed(self, verb: str = "create") -> Grant:
        """Ask whether machines may be used so."""
        return self.store.read(lambda tx: consent.allowed(tx, self.platform, "machine", verb, self.store.now_s))


def granted(
    capability: str, *verbs: str, quota: float | None = None, expires_at_s: float | None = None
) -> GrantedCapability:
    """Return one line of an owner's answer."""
    count = None if quota is None else int(quota)
    return GrantedCapability(capability=capability, verbs=verbs, quota=count, expires_at_s=expires_at_s)


def begin_talk(store: Store) -> Talk:
    """Return the talk with a platform that nobody has asked yet."""
    platform = add_platform(store).id
    return Talk(store, platform, add_connection(store, platform))
