"""Decide what a platform grants, by its owner's rules and answers (S1 step 12).

Pure: no I/O, no clock. What is denied is absent from the decision: only a grant is answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from catalog.expiry import is_over
from catalog.messages.handshake import AuthorizationRequest, Decision, GrantedCapability, ServiceInformation
from catalog.messages.quorum import Quorum
from catalog.model.terms import TERMS, Terms


class Verdict(StrEnum):
    """What the owner's rule says about a capability; ASK leaves it to the owner, request by request."""

    GRANT = "grant"
    DENY = "deny"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Terms):
    """The owner's rule for one capability: the most that is ever granted.

    At most one of ``expires_after_s`` (from the moment of the grant) and ``expires_at_s`` (epoch seconds) is given;
    neither = no end.
    """

    verdict: Verdict
    expires_after_s: float | None = None
    quorum: Quorum | None = None  # whose approvals it takes; with ASK only, in the place of the owner's answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the platform says about itself, and a rule per capability; a capability without a rule is denied."""

    service: ServiceInformation
    rules: Mapping[str, Rule]


def decide(request: AuthorizationRequest, policy: Policy, answers: Mapping[str, Verdict], now_s: float) -> Decision:
    """Return the decision on ``request`` at ``now_s``, where ``answers`` holds what the owner said (GRANT or DENY).

    Never grants a verb that was not asked for or that the rule does not name. A rule that denies outweighs an
    answer, so that narrowing the file takes effect on everything not yet granted. A rule whose end has passed, or
    that shares no verb with what is asked, grants nothing.
    """
    granted: list[GrantedCapability] = []
    pending: list[str] = []
    for capability, asked in request.wanted.items():
        rule = policy.rules.get(capability)
        verbs = tuple(verb for verb in rule.verbs if verb in asked) if rule else ()
        if rule is None or not verbs or is_over(rule.expires_at_s, now_s):
            continue
        verdict = answers.get(capability, Verdict.ASK) if rule.verdict is Verdict.ASK else rule.verdict
        if verdict is Verdict.GRANT and rule.quorum is not None:
            # No single word grants what it takes several to approve.
            verdict = Verdict.ASK
        if verdict is Verdict.GRANT:
            granted.append(granted_by(rule, capability, verbs, now_s))
        elif verdict is Verdict.ASK:
            pending.append(capability)
    return Decision(request_id=request.request_id, granted=tuple(granted), pending=tuple(pending))


def granted_by(rule: Rule, capability: str, verbs: tuple[str, ...], now_s: float) -> GrantedCapability:
    """Return what ``rule`` grants of ``capability`` when it is granted ``now_s``."""
    ends_at_s = now_s + rule.expires_after_s if rule.expires_after_s is not None else rule.expires_at_s
    terms = {name: getattr(rule, name) for name in TERMS}
    return GrantedCapability(capability=capability, **{**terms, "verbs": verbs, "expires_at_s": ends_at_s})
