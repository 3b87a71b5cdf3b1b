"""Decisions of the owner's policy: pure, checked by hand."""

from itertools import product

import pytest

from catalog.messages.handshake import ServiceInformation
from gateway.connector.policy import Policy, Rule, Verdict, decide
from tests.support.platform_links import request

NOW_S = 1_000.0
SERVICE = ServiceInformation(provider="simulated", region="r", services=("machine",))


def policy(**rule: object) -> Policy:
    """Return a policy with one rule, for machines, that grants create and list unless ``rule`` says otherwise."""
    given = {"verdict": Verdict.GRANT, "verbs": ("create", "list"), **rule}
    return Policy(service=SERVICE, rules={"machine": Rule(**given)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdict", "said", "outcome"),
    [
        (Verdict.GRANT, None, "granted"),
        (Verdict.GRANT, Verdict.DENY, "granted"),
        (Verdict.GRANT, Verdict.GRANT, "granted"),
        (Verdict.DENY, None, "denied"),
        (Verdict.DENY, Verdict.DENY, "denied"),
        (Verdict.DENY, Verdict.GRANT, "denied"),
        (Verdict.ASK, None, "pending"),
        (Verdict.ASK, Verdict.DENY, "denied"),
        (Verdict.ASK, Verdict.GRANT, "granted"),
    ],
)
def test_rule_and_answer(verdict: Verdict, said: Verdict | None, outcome: str) -> None:
    """The whole table of rule x owner's answer: the answer counts only where the rule says ask."""
    answers = {} if said is None else {"machine": said}
    decision = decide(request(machine=("create",)), policy(verdict=verdict), answers, NOW_S)
    assert bool(decision.granted) == (outcome == "granted")
    assert bool(decision.pending) == (outcome == "pending")


def test_verbs_never_exceed_either_side() -> None:
    """For every pair of verb lists out of three verbs, the granted verbs are exactly those in both."""
    subsets = [tuple(v for v, used in zip("abc", bits, strict=True) if used) for bits in product((0, 1), repeat=3)]
    for asked, allowed in product(subsets, subsets):
        decision = decide(request(machine=asked), policy(verbs=allowed), {}, NOW_S)
        verbs = [verb for grant in decision.granted for verb in grant.verbs]
        assert set(verbs) == set(asked) & set(allowed)
        assert decision.pending == ()


def test_a_capability_without_a_rule_is_denied() -> None:
    """Silence in the file is no grant, also for names this version does not know."""
    decision = decide(request(volume=("list",), teleport=("create",)), policy(), {}, NOW_S)
    assert (decision.granted, decision.pending) == ((), ())


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        pytest.param({}, None, id="no end"),
        pytest.param({"expires_after_s": 60.0}, 1_060.0, id="60 s from now"),
        pytest.param({"expires_at_s": 1_001.0}, 1_001.0, id="at a moment"),
    ],
)
def test_quota_and_end_are_carried(rule: dict[str, float], end: float | None) -> None:
    """The grant repeats the rule's quota and tells its end in epoch seconds."""
    decision = decide(request(machine=("create",)), policy(quota=3, **rule), {}, NOW_S)
    assert [(grant.quota, grant.expires_at_s) for grant in decision.granted] == [(3, end)]


@pytest.mark.parametrize("verdict", [Verdict.GRANT, Verdict.ASK])
def test_a_rule_that_is_over_grants_nothing(verdict: Verdict) -> None:
    """At the very moment of its end a rule neither grants nor asks."""
    over = policy(verdict=verdict, expires_at_s=NOW_S)
    decision = decide(request(machine=("create",)), over, {"machine": Verdict.GRANT}, NOW_S)
    assert (decision.granted, decision.pending) == ((), ())
