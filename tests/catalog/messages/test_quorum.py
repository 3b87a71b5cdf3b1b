"""N-of-M approvals: so many of these people, of the very same terms; checked by whoever reads the answer."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog import grant_proof
from catalog.errors import CloudMisbehaved
from catalog.messages.handshake import (
    AuthorizationRequest,
    GrantedCapability,
    ServiceInformation,
    canonical,
    public_text,
    sign,
)
from catalog.messages.handshake_json import granted_json, read_decision, shown_to_approvers
from catalog.messages.quorum import Approval, Approvals, Quorum, approve, approved_by, is_key

PEOPLE = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 4)]
STRANGER = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
PLATFORM = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
TWO_OF_THREE = Quorum(need=2, of=tuple(public_text(key.public_key()) for key in PEOPLE))
TERMS = GrantedCapability(capability="machine", verbs=("create", "list"), quota=5)
BETWEEN = {"request_id": "r1", "platform": "north", "gateway": "gw"}
INFORMATION = ServiceInformation(provider="simulated", region="", services=("machine",))
REQUEST = AuthorizationRequest(service_information=INFORMATION, wanted={"machine": ("create", "list")}, **BETWEEN)


def shown(**changes: Any) -> bytes:
    """Return what is signed: of these terms, or of others."""
    between = {name: changes.pop(name, value) for name, value in BETWEEN.items()}
    return shown_to_approvers(replace(TERMS, **changes), **between)


def approved(*approvals: Approval, quorum: Quorum = TWO_OF_THREE) -> GrantedCapability:
    """Return the terms with these approvals."""
    return replace(TERMS, approvals=Approvals(quorum=quorum, given=approvals))


def payload(granted: GrantedCapability) -> dict[str, Any]:
    """Return a decision's payload as the platform signs it."""
    told = {"nonce": "n" * 16, "granted": [granted_json(granted)], "pending": [], "serial": 7, "issued_at_s": 5.0}
    return {**told, **BETWEEN}


def read(granted: GrantedCapability) -> GrantedCapability:
    """Read it as the gateway does, and prove it as an auditor does: both must say the same."""
    signed = sign(payload(granted), PLATFORM)
    key = public_text(PLATFORM.public_key())
    try:
        proved = grant_proof.prove(canonical_json(signed), key=key, now_s=6.0).granted
    except CloudMisbehaved as refused:
        with pytest.raises(CloudMisbehaved, match=str(refused)):
            read_decision(payload(granted), nonce="n" * 16, request=REQUEST, signed="")
        raise
    decided = read_decision(payload(granted), nonce="n" * 16, request=REQUEST, signed="").granted
    assert decided == proved
    return decided[0]


def canonical_json(message: dict[str, Any]) -> bytes:
    """Return ``message`` as a file holds it."""
    return canonical(message).partition(b"\n")[2]


def test_enough_of_the_right_people_are_enough() -> None:
    """Two of three signed: gateway and auditor read the same grant, and who approved it."""
    granted = read(approved(approve(PEOPLE[2], shown()), approve(PEOPLE[0], shown())))
    assert granted.approvals is not None
    assert approved_by(granted.approvals, shown()) == (TWO_OF_THREE.of[0], TWO_OF_THREE.of[2])


def forged(approval: Approval) -> Approval:
    """Return it under another of the people's names."""
    return replace(approval, key=TWO_OF_THREE.of[1])


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((), id="one is not two"),
        pytest.param((approve(PEOPLE[0], shown()),), id="the same one twice"),
        pytest.param((approve(STRANGER, shown()),), id="a stranger"),
        pytest.param((approve(PEOPLE[1], shown(quota=6)),), id="of other terms"),
        pytest.param((approve(PEOPLE[1], shown(request_id="r0")),), id="of another request"),
        pytest.param((approve(PEOPLE[1], shown(gateway="other")),), id="for another gateway"),
        pytest.param((approve(PEOPLE[1], shown(platform="other")),), id="of another platform"),
        pytest.param((forged(approve(PEOPLE[0], shown())),), id="in another's name"),
    ],
)
def test_anything_less_is_refused(second: tuple[Approval, ...]) -> None:
    """However the second approval came about: what two have to sign, two people have to have signed."""
    with pytest.raises(CloudMisbehaved, match="not approved by 2 of 3"):
        read(approved(approve(PEOPLE[0], shown()), *second))


def test_a_quorum_that_nobody_can_meet_is_refused() -> None:
    """Three of two, or two of one person named twice."""
    all_of_them = [approve(key, shown()) for key in PEOPLE]
    for quorum in (Quorum(need=3, of=TWO_OF_THREE.of[:2]), Quorum(need=2, of=TWO_OF_THREE.of[:1] * 2)):
        with pytest.raises(CloudMisbehaved, match="more approvals than"):
            read(approved(*all_of_them, quorum=quorum))


def texts_of(key: str) -> list[str]:
    """Return the four texts that a decoder takes for the same key: the last two bits of the last letter are unused."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = letters.index(key[-2])
    return [f"{key[:-2]}{letters[last + bits]}=" for bits in range(4)]


def test_one_person_meets_no_quorum_of_two_by_other_texts_of_the_key() -> None:
    """All four texts are the same 32 bytes; only the one that encoding gives is a key, in ``of`` as in ``given``."""
    texts = texts_of(TWO_OF_THREE.of[0])
    assert len({base64.b64decode(text, validate=True) for text in texts}) == 1
    assert [is_key(text) for text in texts] == [True, False, False, False]
    mine = approve(PEOPLE[0], shown())
    in_four_texts = Approvals(quorum=Quorum(need=2, of=tuple(texts)), given=tuple(replace(mine, key=t) for t in texts))
    assert approved_by(in_four_texts, shown()) == (texts[0],)
    with pytest.raises(CloudMisbehaved):
        read(replace(TERMS, approvals=in_four_texts))


def test_one_person_meets_no_quorum_of_two_by_being_named_twice() -> None:
    """Whoever stands in the list twice approves once, and such a list is refused whoever signed."""
    named_twice = Quorum(need=2, of=(TWO_OF_THREE.of[0], *TWO_OF_THREE.of[:2]))
    mine, other = approve(PEOPLE[0], shown()), approve(PEOPLE[1], shown())
    assert approved_by(Approvals(quorum=named_twice, given=(mine,)), shown()) == (TWO_OF_THREE.of[0],)
    for given in ((mine,), (mine, other)):
        with pytest.raises(CloudMisbehaved, match="an approver twice"):
            read(approved(*given, quorum=named_twice))
