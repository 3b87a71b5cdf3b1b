"""A platform's signed decision in a file, proved without a gateway."""

from pathlib import Path

from catalog.errors import CloudMisbehaved
from catalog.grant_proof import prove
from catalog.messages.handshake import GrantedCapability
from catalog.messages.handshake_json import Evidence
from gateway.clock import SystemClock

__all__ = ["CloudMisbehaved", "Evidence", "in_words", "verify"]


def verify(path: Path, *, key: str, platform: str | None, gateway: str | None, after: int) -> Evidence:
    """Return what the decision in ``path`` proves now, see ``catalog.grant_proof.prove``. Raises OSError too."""
    return prove(
        path.read_bytes(), key=key, now_s=SystemClock().now_s(), platform=platform, gateway=gateway, after=after
    )


def in_words(granted: GrantedCapability) -> str:
    """Return one proven line as people read it, with how many of whom approved it where that is wanted."""
    approvals = granted.approvals
    of = "" if approvals is None else f", approved by {len(approvals.given)} of {len(approvals.quorum.of)}"
    return f"{granted.capability} ({' '.join(granted.verbs)}{of})"
