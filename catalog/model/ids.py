"""Identifiers: a visible kind, then a ULID, so that they sort by time and read well in a log.

The text is ``kind_`` plus 26 Crockford base-32 characters: 48 bits of milliseconds since the epoch and
80 random bits (the ULID layout).
"""

import secrets
from typing import NewType

SiteId = NewType("SiteId", str)
RelayId = NewType("RelayId", str)
LinkId = NewType("LinkId", str)
PlatformId = NewType("PlatformId", str)
EndpointId = NewType("EndpointId", str)
CredentialId = NewType("CredentialId", str)
TokenId = NewType("TokenId", str)
ConnectionId = NewType("ConnectionId", str)
SessionId = NewType("SessionId", str)
GrantId = NewType("GrantId", str)
AnswerLinkId = NewType("AnswerLinkId", str)
EntryId = NewType("EntryId", str)
OfferId = NewType("OfferId", str)
OrderId = NewType("OrderId", str)
PoolId = NewType("PoolId", str)
MachineId = NewType("MachineId", str)
AssetId = NewType("AssetId", str)
ExitId = NewType("ExitId", str)
MessageId = NewType("MessageId", str)
ProjectId = NewType("ProjectId", str)
AccountId = NewType("AccountId", str)
MembershipId = NewType("MembershipId", str)
LoginId = NewType("LoginId", str)
OrganisationId = NewType("OrganisationId", str)
PassageId = NewType("PassageId", str)
WebhookId = NewType("WebhookId", str)
ApprovalId = NewType("ApprovalId", str)
ApprovalRuleId = NewType("ApprovalRuleId", str)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_DIGITS = 10
_RANDOM_DIGITS = 16


def new_id(kind: str, now_s: float) -> str:
    """Return a fresh id such as ``machine_01J9ZK…``, for the wall time ``now_s`` (seconds since the epoch)."""
    return f"{kind}_{_base32(int(now_s * 1000), _TIME_DIGITS)}{_base32(secrets.randbits(80), _RANDOM_DIGITS)}"


def _base32(value: int, digits: int) -> str:
    return "".join(_ALPHABET[(value >> (5 * place)) & 31] for place in reversed(range(digits)))
