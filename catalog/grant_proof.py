"""Prove a platform's signed decision without any gateway: whose it is, for whom, and whether it still stands. Pure."""

from catalog.errors import CloudMisbehaved
from catalog.expiry import is_over
from catalog.messages.handshake_json import Evidence, read_evidence, read_json, signed_payload


def prove(
    signed: bytes, *, key: str, now_s: float, platform: str | None = None, gateway: str | None = None, after: int = 0
) -> Evidence:
    """Return what ``key`` (base64) signed; None takes any platform or gateway.

    Raises CloudMisbehaved whose ``field`` names what is wrong: None for another key or altered bytes, "platform" or
    "gateway" for another one's, "serial" for one not above ``after``, "expires_at_s" when all it granted is over.
    """
    evidence = read_evidence(signed_payload(read_json(signed), key))
    for field, told, expected in (("platform", evidence.platform, platform), ("gateway", evidence.gateway, gateway)):
        if expected is not None and told != expected:
            raise CloudMisbehaved(f"the decision is for another {field} than {expected}", field=field)
    if evidence.serial <= after:
        raise CloudMisbehaved(f"the decision is not newer than number {after}: it was replaced since", field="serial")
    if all(is_over(grant.expires_at_s, now_s) for grant in evidence.granted):
        raise CloudMisbehaved("the decision grants nothing, or all that it granted is over", field="expires_at_s")
    return evidence
