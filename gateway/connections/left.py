"""What is done with what an ended grant left behind; noted in the audit log."""

from dataclasses import dataclass

from catalog.messages.handshake import Capability
from catalog.model.consent import Grant
from catalog.model.ids import PlatformId
from catalog.store.database import Tx
from catalog.winding_down import session_of

DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Left:
    """What is done ("find", "read", DESTROY) with which machine or asset that an ended grant left behind."""

    deed: str
    subject: str
    capability: Capability
    counts: bool = True  # as a call of its own

    @property
    def what(self) -> dict[str, str]:
        """Return what it is done with, as the audit log says it."""
        return {"machine" if self.capability is Capability.MACHINE else "asset": self.subject}

    def session(self, tx: Tx, platform: PlatformId, now_s: float) -> Grant | None:
        """Return the grant under whose wind-down this is done, None when there is none."""
        return session_of(tx, platform, self.capability, now_s)
