"""One list of terms: what can be granted is signed, stored, kept, told and shown, or this says where it is missing."""

from dataclasses import fields
from typing import Any

import pytest

from catalog import publish, terms_kept
from catalog.messages.handshake import GrantedCapability
from catalog.messages.handshake_json import granted_from, granted_json
from catalog.messages.handshake_shapes import GrantedShape, ScopeShape
from catalog.model.consent import Grant
from catalog.model.ids import ConnectionId, GrantId, PlatformId
from catalog.model.terms import NO_TERMS, TERMS, EndRule, Scope, Terms, terms_json
from catalog.store.telling import telling
from gateway.api.grants import GrantOut
from gateway.client.resources import Grant as ClientGrant
from gateway.connector.policy import Rule, Verdict

# Every term with something to say.
ALL = Terms(
    verbs=("create", "list"),
    quota=3,
    expires_at_s=2e9,
    destinations=(),
    scope=Scope(regions=("eu-*",), sizes=("m1.*",), images=("debian-*",), networks=("lan-*",), projects=("acme/*",)),
    cores=8,
    memory_gib=16,
    calls_per_minute=60,
    on_end=EndRule.DRAIN,
    wind_down_s=600.0,
)
# The API's clients read times, not seconds.
SHOWN = [name.removesuffix("_s") if name == "expires_at_s" else name for name in TERMS]


def row() -> Grant:
    """Return a grant's row with all terms."""
    return Grant(
        id=GrantId("grant_1"), platform_id=PlatformId("p"), connection_id=ConnectionId("c"), request_id="r",
        capability="machine", **terms_json(ALL),
    )  # fmt: skip


def test_what_is_signed_and_read_again_is_the_same() -> None:
    """Every term goes over the wire, in whatever it is written there, and comes back as it was."""
    granted = GrantedCapability(capability="machine", **{name: getattr(ALL, name) for name in TERMS})
    assert granted_from(GrantedShape.model_validate(granted_json(granted))) == granted


@pytest.mark.parametrize(
    ("place", "names"),
    [
        pytest.param("what is signed", GrantedShape.model_fields, id="what is signed"),
        pytest.param("the row", Grant.model_fields, id="the row"),
        pytest.param("the policy's rule", [each.name for each in fields(Rule)], id="the policy's rule"),
    ],
)
def test_every_term_has_its_place(place: str, names: Any) -> None:
    """None is missing where each is written by itself."""
    assert [name for name in TERMS if name not in names] == [], place


def test_every_term_is_shown() -> None:
    """The API's answer and the client's shape have each, times as times."""
    assert [name for name in SHOWN if name not in GrantOut.model_fields] == []
    assert [name for name in SHOWN if name not in ClientGrant.__annotations__] == []


def test_every_kind_of_scope_is_signed() -> None:
    """The shape of a scope has exactly the kinds that a scope has."""
    assert set(ScopeShape.model_fields) == {each.name for each in fields(Scope)}


def test_versions_events_and_offers_have_every_term() -> None:
    """What is kept of each version, told in events and shown in an offer is the row's terms, all that say something."""
    grant = row()
    said = {name: value for name, value in terms_json(ALL).items() if value}
    assert terms_kept.terms_of(grant) == terms_json(ALL)
    told = telling(grant)
    assert told is not None
    assert said.items() <= told.facts.items()
    assert publish.shown_terms(grant) == said


def test_an_older_connector_s_answer_has_the_terms_that_it_knows_and_no_others() -> None:
    """What was signed before a term was there grants it without that term; and such an answer is written as ever."""
    old = {"capability": "machine", "verbs": ["list"], "quota": None, "expires_at_s": None}
    granted = granted_from(GrantedShape.model_validate(old))
    assert granted == GrantedCapability(capability="machine", verbs=("list",))
    assert granted_json(granted) == old
    assert terms_json(granted) == {**NO_TERMS, "verbs": ["list"]}


def test_a_rule_grants_its_terms() -> None:
    """A rule of the owner's policy is terms and a verdict: nothing that the file says is lost on the way."""
    rule = Rule(verdict=Verdict.GRANT, **{name: getattr(ALL, name) for name in TERMS})
    assert terms_json(rule) == terms_json(ALL)
