"""Grants: both sides are needed, nothing exceeds the request, every end withdraws the offer."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import consent, grant_rules, publish
from catalog.clouds import Proof
from catalog.errors import AlreadyExists, CloudMisbehaved, Denied, InvalidValue, NotFound, WrongState
from catalog.messages.handshake import CAPABILITY_VERBS, Capability, GrantedCapability
from catalog.model.consent import Grant, GrantState
from catalog.model.ids import GrantId
from catalog.model.offering import OfferState
from catalog.store import rows
from catalog.store.database import Tx
from tests.support.consenting import Talk, begin_talk, granted
from tests.support.stores import add_platform, opened_store


def test_an_answer_grants_keeps_pending_and_denies_what_is_absent(talk: Talk) -> None:
    """Granted: with quota, expiry and evidence. Pending: still requested, under the same request id. Absent: denied."""
    assert talk.store.read(lambda tx: consent.open_request(tx, talk.platform)) is None
    assert len(talk.propose()) == 3
    # "reboot" and volumes were never asked for, so they are not granted either.
    generous = granted("machine", "create", "reboot", quota=5, expires_at_s=2e9)
    talk.answer(generous, granted("volume", "list"), pending=("size",))
    assert talk.states() == {
        "machine": GrantState.GRANTED,
        "size": GrantState.REQUESTED,
        "image": GrantState.DENIED,
    }
    machine = talk.grant()
    assert (machine.verbs, machine.quota, machine.expires_at_s, machine.evidence) == (["create"], 5, 2e9, "evidence")
    assert talk.store.read(lambda tx: consent.open_request(tx, talk.platform)) == "r1"


def test_both_sides_are_needed_before_anything_is_offered_or_allowed(talk: Talk) -> None:
    """Neither the gateway's wish nor the owner's grant alone makes an offer or allows a call; both together do."""
    talk.propose()
    for _ in range(2):
        grant = talk.grant()
        with pytest.raises(WrongState):
            talk.store.write(lambda tx, held=grant: publish.publish(tx, held, talk.store.now_s))
        with pytest.raises(Denied):
            talk.allowed()
        talk.answer(granted("machine", "create"))
    grant_id = talk.grant().id
    talk.store.write(lambda tx: consent.accept(tx, grant_id, talk.store.now_s))
    talk.store.write(lambda tx: publish.publish(tx, grant, talk.store.now_s))
    assert talk.allowed().id == grant_id
    assert talk.offer().state is OfferState.OFFERED
    with pytest.raises(Denied):
        talk.allowed("destroy")


@settings(max_examples=25, deadline=None)
@given(
    asked=st.sets(st.sampled_from(list(Capability))),
    said=st.dictionaries(
        st.text(max_size=10) | st.sampled_from([*map(str, Capability)]), st.lists(st.text(max_size=8))
    ),
    data=st.data(),
)
def test_a_grant_never_exceeds_the_request(
    tmp_path_factory: pytest.TempPathFactory, asked: set[Capability], said: dict[str, list[str]], data: st.DataObject
) -> None:
    """Whatever an owner answers to whatever request: no grant names a capability or verb that was not asked for."""
    wanted = {
        str(capability): tuple(data.draw(st.lists(st.sampled_from(CAPABILITY_VERBS[capability]), unique=True)))
        for capability in sorted(asked)
    }
    verbs = [verb for verbs in CAPABILITY_VERBS.values() for verb in verbs]
    answer = [granted(name, *words, *data.draw(st.lists(st.sampled_from(verbs)))) for name, words in said.items()]
    with opened_store(tmp_path_factory.mktemp("consent")) as store:
        talk = begin_talk(store)
        talk.propose(wanted=wanted)
        talk.answer(*answer)
        for grant in store.read(lambda tx: rows.where(tx, Grant)):
            assert grant.capability in wanted
            assert set(grant.verbs) <= set(wanted[grant.capability])
            assert grant.state in {GrantState.GRANTED, GrantState.DENIED}


@pytest.mark.parametrize(
    "answer",
    [
        (granted("machine", "create", quota=-1),),
        (granted("machine", "create", expires_at_s=float("nan")),),
        (granted("machine", "create", expires_at_s=float("inf")),),
        (granted("machine", "create"), granted("machine", "list")),
        (granted("size", "list"), granted("machine", "create", quota=-5)),
    ],
)
def test_terms_without_sense_record_nothing(talk: Talk, answer: tuple[GrantedCapability, ...]) -> None:
    """A negative quota, an expiry that is no moment, or one capability twice: the whole answer is refused."""
    talk.propose()
    with pytest.raises(CloudMisbehaved):
        talk.answer(*answer)
    assert set(talk.states().values()) == {GrantState.REQUESTED}


def test_an_expiry_in_the_past_grants_nothing(talk: Talk) -> None:
    """What is over when it is granted is denied."""
    talk.propose()
    talk.answer(granted("machine", "create", expires_at_s=talk.store.now_s))
    assert talk.grant().state is GrantState.DENIED


def test_recording_an_answer_again_changes_nothing(talk: Talk) -> None:
    """The second time neither state, terms nor version move."""
    talk.propose()
    for _ in range(2):
        talk.answer(granted("machine", "create", quota=5))
        assert (talk.grant().state, talk.grant().version) == (GrantState.GRANTED, 2)


@pytest.mark.parametrize("end", [consent.refuse, consent.revoke])
def test_what_has_ended_does_not_come_back_by_an_old_answer(
    talk: Talk, end: Callable[[Tx, GrantId, float], Grant]
) -> None:
    """A replayed answer leaves a refused or revoked grant as it is; only a new question opens it, without old terms."""
    talk.propose()
    talk.answer(granted("machine", "create", quota=5))
    grant_id = talk.grant().id
    ended = talk.store.write(lambda tx: end(tx, grant_id, talk.store.now_s))
    talk.answer(granted("machine", "create", quota=9))
    assert talk.grant().state is ended.state
    talk.propose("r2")
    asked = talk.grant()
    assert (asked.id, asked.state, asked.request_id) == (grant_id, GrantState.REQUESTED, "r2")
    assert (asked.quota, asked.evidence, asked.verbs) == (None, "", ["create", "list", "destroy"])


def test_a_later_answer_narrows_or_ends_what_stands(talk: Talk) -> None:
    """Asked again, an accepted grant stays accepted; its verbs can shrink but not grow, and absence revokes it."""
    talk.accepted(quota=5)
    talk.propose("r2")
    assert talk.grant().state is GrantState.ACCEPTED
    talk.answer(granted("machine", "create", "destroy", quota=2), request_id="r2")
    narrowed = talk.grant()
    assert (narrowed.state, narrowed.verbs, narrowed.quota) == (GrantState.ACCEPTED, ["create"], 2)
    talk.propose("r3")
    talk.answer(request_id="r3")
    assert talk.grant().state is GrantState.REVOKED
    assert talk.offer().state is OfferState.WITHDRAWN


def test_revocation_withdraws_the_offer_at_once(talk: Talk) -> None:
    """After the revoking transaction nothing is allowed and the offer is withdrawn with the reason."""
    grant = talk.accepted()
    talk.store.write(lambda tx: consent.revoke(tx, grant.id, talk.store.now_s, "changed my mind"))
    assert (talk.offer().state, talk.offer().reason) == (OfferState.WITHDRAWN, "changed my mind")
    with pytest.raises(Denied):
        talk.allowed()


def test_expiry_counts_from_its_second_and_withdraws_the_offer(talk: Talk) -> None:
    """At its second a grant allows nothing, seen by the timer or not; the timer then withdraws the offer, once."""
    grant = talk.accepted(expires_at_s=talk.store.now_s + 60)
    talk.store.clock.advance(59)
    assert talk.allowed().id == grant.id
    assert talk.store.write(lambda tx: consent.expire_due(tx, talk.store.now_s)) == 0
    talk.store.clock.advance(1)
    with pytest.raises(Denied):
        talk.allowed()
    with pytest.raises(WrongState):
        talk.store.write(lambda tx: publish.publish(tx, grant, talk.store.now_s))
    assert [talk.store.write(lambda tx: consent.expire_due(tx, talk.store.now_s)) for _ in range(2)] == [1, 0]
    assert talk.grant().state is GrantState.EXPIRED
    assert talk.offer().state is OfferState.WITHDRAWN


def test_what_is_over_cannot_be_accepted(talk: Talk) -> None:
    """Neither an admin nor a standing rule accepts a grant whose time is over."""
    talk.propose()
    talk.answer(granted("machine", "create", expires_at_s=talk.store.now_s + 1))
    talk.store.write(lambda tx: grant_rules.add(tx, platform="*", capability="*", now_s=1.0))
    talk.store.clock.advance(1)
    grant_id = talk.grant().id
    with pytest.raises(WrongState, match="over"):
        talk.store.write(lambda tx: consent.accept(tx, grant_id, talk.store.now_s))
    assert talk.store.write(lambda tx: grant_rules.apply(tx, talk.platform, talk.store.now_s)) == []


@pytest.mark.parametrize(
    ("platform", "capability", "accepted"),
    [
        ("*", "*", {"machine", "size"}),
        ("mumbai", "*", {"machine", "size"}),
        ("mumbai", "machine", {"machine"}),
        ("*", "size", {"size"}),
        ("delhi", "*", set()),
        ("*", "volume", set()),
    ],
)
def test_standing_rules_accept_what_they_cover(talk: Talk, platform: str, capability: str, accepted: set[str]) -> None:
    """A rule accepts GRANTED grants of its platform and capability, ``*`` being any, and never a requested one."""
    add_platform(talk.store, "delhi")
    talk.propose()
    talk.answer(granted("machine", "create"), granted("size", "list"), pending=("image",))
    talk.store.write(lambda tx: grant_rules.add(tx, platform=platform, capability=capability, now_s=1.0))
    applied = talk.store.write(lambda tx: grant_rules.apply(tx, talk.platform, talk.store.now_s))
    assert {grant.capability for grant in applied} == accepted
    assert {name for name, state in talk.states().items() if state is GrantState.ACCEPTED} == accepted


def test_rules_name_what_exists_and_are_there_once(talk: Talk) -> None:
    """An unknown platform or capability and a second equal rule are refused; a removed rule is gone."""
    with pytest.raises(NotFound):
        talk.store.write(lambda tx: grant_rules.add(tx, platform="nowhere", capability="*", now_s=1.0))
    with pytest.raises(InvalidValue):
        talk.store.write(lambda tx: grant_rules.add(tx, platform="*", capability="root", now_s=1.0))
    rule = talk.store.write(lambda tx: grant_rules.add(tx, platform=talk.platform, capability="size", now_s=1.0))
    assert rule.platform == "mumbai"
    with pytest.raises(AlreadyExists):
        talk.store.write(lambda tx: grant_rules.add(tx, platform="mumbai", capability="size", now_s=1.0))
    talk.store.write(lambda tx: grant_rules.remove(tx, rule.id or 0))
    assert talk.store.read(grant_rules.rules) == []


@pytest.mark.parametrize("wanted", [{"root": ("list",)}, {"machine": ("create", "sudo")}, {"size": ("create",)}])
def test_only_known_capabilities_and_verbs_are_asked_for(talk: Talk, wanted: dict[str, tuple[str, ...]]) -> None:
    """A wish outside the vocabulary is refused before the owner hears of it."""
    with pytest.raises(InvalidValue):
        talk.propose(wanted=wanted)
    assert talk.states() == {}


def test_proofs_are_kept_newest_last(talk: Talk) -> None:
    """The newest 20 proofs stay, with their moment."""
    grant = talk.accepted()
    for number in range(25):
        proof = Proof(capability="machine", allowed=number % 2 == 0, request=f"DryRun {number}")
        talk.store.write(lambda tx, proof=proof: consent.add_proof(tx, grant.id, proof, 5.0))  # type: ignore[misc]
    proofs = talk.grant().proofs
    assert (len(proofs), proofs[-1]["request"], proofs[-1]["at_s"]) == (20, "DryRun 24", 5.0)


@pytest.mark.parametrize("serial", [4, None])
def test_an_answer_older_than_one_recorded_is_refused(talk: Talk, serial: int | None) -> None:
    """A replayed number 4 after number 5, or one without a number, widens nothing; one that grants nothing counts."""
    talk.propose()
    talk.answer(granted("machine", "create", quota=1), serial=5)
    with pytest.raises(CloudMisbehaved, match="older"):
        talk.answer(granted("machine", "create", quota=9), serial=serial)
    assert talk.grant().quota == 1
    talk.answer(granted("machine", "create", quota=2), serial=6)
    assert talk.grant().quota == 2
    talk.answer()
    assert talk.grant().state is GrantState.REVOKED
