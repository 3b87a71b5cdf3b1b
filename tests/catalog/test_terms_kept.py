"""The versions of a grant's terms: one a change, superseded by the next, ended with the grant."""

import pytest

from catalog import consent, terms_kept
from catalog.model.consent import GrantTerms
from tests.support.consenting import Talk, granted


def history(talk: Talk) -> list[GrantTerms]:
    """Return the versions of the terms for machines."""
    grant_id = talk.grant().id
    return list(talk.store.read(lambda tx: terms_kept.history(tx, grant_id)))


def test_each_change_of_the_terms_supersedes_the_last_and_the_same_again_does_not(talk: Talk) -> None:
    """Five machines, five again, then two, then seven: three versions, the last in force."""
    talk.propose()
    for quota in (5, 5, 2, 7):
        talk.answer(granted("machine", "create", quota=quota))
    kept = history(talk)
    assert [(each.number, each.terms["quota"]) for each in kept] == [(1, 5), (2, 2), (3, 7)]
    assert [each.superseded_at_s is None for each in kept] == [False, False, True]
    assert {each.reason for each in kept[:2]} == {terms_kept.SUPERSEDED}
    assert {each.evidence for each in kept} == {"evidence"}


@pytest.mark.parametrize("end", ["revoke", "refuse", "expire", "absent"])
def test_however_a_grant_ends_no_terms_stay_in_force(talk: Talk, end: str) -> None:
    """Revoked, refused, over, or absent from the owner's next answer: the version is kept, with the reason."""
    talk.propose()
    talk.answer(granted("machine", "create", expires_at_s=talk.store.now_s + 10))
    grant_id = talk.grant().id
    match end:
        case "revoke":
            talk.store.write(lambda tx: consent.revoke(tx, grant_id, talk.store.now_s, "no more"))
        case "refuse":
            talk.store.write(lambda tx: consent.refuse(tx, grant_id, talk.store.now_s))
        case "expire":
            talk.store.write(lambda tx: consent.expire_due(tx, talk.store.now_s + 10))
        case _:
            talk.answer()
    (only,) = history(talk)
    assert only.superseded_at_s is not None
    assert only.reason
    assert talk.store.read(lambda tx: terms_kept.in_force(tx, grant_id)) is None
