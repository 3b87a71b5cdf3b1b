"""A grant that is proposed, asked for (again), and answered by its owner otherwise than by a connector."""

import pytest

from catalog import consent, publish, terms_kept
from catalog.errors import CatalogError, InvalidValue, WrongState
from catalog.model.consent import Grant, GrantState, Side
from catalog.model.offering import OfferState
from catalog.model.terms import Terms
from tests.support.consenting import Talk, granted


def suggest(talk: Talk, *capabilities: str) -> list[Grant]:
    """Propose capabilities."""
    return talk.store.write(
        lambda tx: consent.suggest(
            tx,
            platform_id=talk.platform,
            connection_id=talk.connection,
            capabilities=capabilities,
            now_s=talk.store.now_s,
        )
    )


def ask(talk: Talk, capability: str = "machine") -> Grant:
    """Ask for one."""
    grant_id = talk.grant(capability).id
    return talk.store.write(lambda tx: consent.ask(tx, grant_id, talk.store.now_s))


def answer(talk: Talk, terms: Terms | None, capability: str = "machine") -> Grant:
    """Give the owner's word."""
    grant_id = talk.grant(capability).id
    return talk.store.write(lambda tx: consent.answer(tx, grant_id, terms, by="token_1", now_s=talk.store.now_s))


def test_what_is_proposed_is_new_and_waits_until_somebody_asks(talk: Talk) -> None:
    """What there is a grant of in any state is not proposed; the rest is, once, and asked for under one request."""
    talk.propose(wanted={"machine": ("list",)})
    talk.answer()
    assert [each.capability for each in suggest(talk, "volume", "machine", "image")] == ["image", "volume"]
    assert suggest(talk, "volume") == []
    assert talk.states() == {"machine": GrantState.DENIED, "image": GrantState.PROPOSED, "volume": GrantState.PROPOSED}
    assert talk.store.read(lambda tx: consent.open_request(tx, talk.platform)) is None
    first, second = ask(talk, "volume"), ask(talk, "image")
    assert first.request_id == second.request_id == talk.store.read(lambda tx: consent.open_request(tx, talk.platform))
    assert ask(talk, "volume").version == first.version, "asked for already"


@pytest.mark.parametrize("ended", ["denied", "revoked", "refused"])
def test_what_has_ended_is_asked_for_anew_with_nothing_left_of_its_terms(talk: Talk, ended: str) -> None:
    """All verbs are asked for again, and what was once granted counts for nothing."""
    talk.propose(wanted={"machine": ("list",)})
    if ended != "denied":
        talk.answer(granted("machine", "list", quota=3))
        deed, grant_id = consent.revoke if ended == "revoked" else consent.refuse, talk.grant().id
        talk.store.write(lambda tx: deed(tx, grant_id, talk.store.now_s))
    else:
        talk.answer()
    assert talk.grant().state == ended
    asked = ask(talk)
    assert (asked.state, asked.quota) == (GrantState.REQUESTED, None)
    assert "create" in asked.verbs


def test_what_stands_is_not_asked_for(talk: Talk) -> None:
    """Its owner can change it; asking would only take it away."""
    talk.accepted()
    with pytest.raises(WrongState, match="stands"):
        ask(talk)


def test_the_owner_s_word_grants_what_was_asked_and_no_more(talk: Talk) -> None:
    """Verbs that nobody asked for are left out; the evidence says by which token, and the version is kept."""
    talk.propose(wanted={"machine": ("create", "list")})
    given = answer(talk, Terms(verbs=("list", "destroy", "create"), quota=2))
    assert (given.state, given.verbs, given.quota) == (GrantState.GRANTED, ["create", "list"], 2)
    assert "token_1" in given.evidence
    (kept,) = talk.store.read(lambda tx: terms_kept.history(tx, given.id))
    assert kept.terms["quota"] == 2


def test_narrowing_takes_effect_at_once(talk: Talk) -> None:
    """A grant that is on offer has its new terms, and its offer says so, when the call is answered."""
    talk.accepted(quota=9)
    narrowed = answer(talk, Terms(verbs=("list",), quota=1))
    assert (narrowed.state, narrowed.verbs) == (GrantState.ACCEPTED, ["list"])
    assert (talk.offer().state, talk.offer().facts) == (
        OfferState.OFFERED,
        {"verbs": ["list"], "quota": 1, "expires_at_s": None},
    )
    due = talk.store.read(lambda tx: publish.outdated(tx, talk.store.now_s + 1, age_s=3600))
    assert [each.id for each in due] == [narrowed.id], "and is proved again"
    with pytest.raises(InvalidValue, match="'create' is not granted") as refused:
        answer(talk, Terms(verbs=("list", "create")))
    assert "grant revoke" in (refused.value.fix or "")
    assert talk.grant().verbs == ["list"], "a verb once given up comes back by being asked for"


def test_a_suspended_grant_may_be_narrowed_and_stays_held_back(talk: Talk) -> None:
    """New terms are no resumption."""
    grant_id = talk.accepted().id
    talk.store.write(lambda tx: consent.suspend(tx, grant_id, Side.GATEWAY, talk.store.now_s))
    assert answer(talk, Terms(verbs=("list",))).state is GrantState.SUSPENDED


@pytest.mark.parametrize(("before", "after"), [("asked", GrantState.DENIED), ("stands", GrantState.REVOKED)])
def test_no_is_a_denial_or_the_end(talk: Talk, before: str, after: GrantState) -> None:
    """Of what was only asked for, and of what stood."""
    if before == "asked":
        talk.propose()
    else:
        talk.accepted()
    assert answer(talk, None).state is after


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        pytest.param(Terms(verbs=("destroy",)), InvalidValue, id="no verb that is asked for"),
        pytest.param(Terms(verbs=("list",), expires_at_s=1.0), InvalidValue, id="over already"),
    ],
)
def test_a_word_without_sense_changes_nothing(talk: Talk, terms: Terms, error: type[CatalogError]) -> None:
    """It is refused, and the grant is as before."""
    talk.propose(wanted={"machine": ("create", "list")})
    with pytest.raises(error):
        answer(talk, terms)
    assert talk.grant().state is GrantState.REQUESTED


def test_nobody_is_answered_who_did_not_ask(talk: Talk) -> None:
    """A proposal, and what has ended, cannot be granted: what was taken back never comes back by itself."""
    suggest(talk, "machine")
    with pytest.raises(WrongState, match="nobody asks"):
        answer(talk, Terms(verbs=("list",)))
