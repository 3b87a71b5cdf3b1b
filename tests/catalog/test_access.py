"""Tokens, principals and the one table of permissions."""

import asyncio
import re
from itertools import product

import pytest

from catalog import access, enrolments
from catalog.errors import AlreadyExists, Denied, InvalidValue, NotFound
from catalog.model.access import Enrolment, Role, Token
from catalog.model.ids import TokenId
from catalog.store import rows
from catalog.token_text import digest
from catalog.tokens import issue_token, revoke_token
from tests.support.ordering import a_project
from tests.support.stores import Store, add_platform

# Who may what, written a second time: a change of the table must be meant. a: admin, r: operator (runs it), s: auditor
# (sees it), p: platform, o: owner, m: member, v: viewer, g: guest.
EXPECTED = {
    "self:read": "arspomvg",
    "self:write": "arspomvg",
    "event:read": "arspomv",
    "webhook:read": "arspomv",
    "webhook:write": "arpom",
    "catalog:read": "arspomv",
    "catalog:write": "a",
    "search:write": "arspomv",
    "organisation:read": "asomv",
    "organisation:write": "a",
    "project:read": "asomv",
    "project:write": "ao",
    "account:read": "aso",
    "account:write": "ao",
    "membership:read": "aso",
    "membership:write": "ao",
    "token:read": "as",
    "token:write": "a",
    "enrolment:read": "as",
    "enrolment:write": "a",
    "network:read": "ars",
    "network:write": "ar",
    "weights:read": "ars",
    "weights:write": "ar",
    "price:read": "as",
    "price:write": "a",
    "lease:read": "arsomv",
    "lease:write": "ao",
    "budget:read": "arsomv",
    "budget:write": "ao",
    "cost:read": "arsomv",
    "quota:read": "arsomv",
    "quota:write": "ao",
    "pool:read": "ars",
    "pool:write": "ar",
    "background:read": "ars",
    "metrics:read": "ars",
    "queue:read": "ars",
    "queue:write": "ar",
    "approval:read": "arsomv",
    "approval:write": "aom",
    "approval-rule:read": "arsomv",
    "approval-rule:write": "ao",
    "platform:approve": "a",
    "grant:write": "a",
    "audit:read": "as",
    "audit:sign": "a",
    "platform:read": "arsp",
    "platform:write": "ap",
    "connection:read": "arsp",
    "connection:write": "arp",
    "grant:read": "arsp",
    "grant:revoke": "ap",
    "grant:answer": "p",
    "exit:read": "arsp",
    "exit:announce": "ap",
    "passage:read": "asp",
    "passage:open": "ap",
    "passage:close": "ap",
    "connection:consent": "p",
    "order:read": "arsomv",
    "order:cancel": "aom",
    "machine:read": "arsomv",
    "machine:write": "aom",
    "machine:import": "ar",
    "order:write": "om",
    "schedule:read": "arsomv",
    "schedule:write": "ao",
}
LETTERS = {
    Role.ADMIN: "a", Role.OPERATOR: "r", Role.AUDITOR: "s", Role.PLATFORM: "p",
    Role.OWNER: "o", Role.MEMBER: "m", Role.VIEWER: "v", Role.GUEST: "g",
}  # fmt: skip
API = {"purpose": "api", "url": "https://api.example.org", "dial": "10.0.0.5:443"}


def principal(role: Role, subject_id: str = "") -> access.Principal:
    """Return somebody of ``role``."""
    return access.Principal(role=role, subject_id=subject_id, token_id=TokenId("token_1"), name="somebody")


@pytest.mark.parametrize(("role", "permission"), list(product(Role, [*access.PERMISSIONS, "no:such", "", "token:*"])))
def test_every_role_has_exactly_its_permissions(role: Role, permission: str) -> None:
    """Every permission is tried with every role; an unknown permission is nobody's, not even an admin's."""
    if LETTERS[role] in EXPECTED.get(permission, ""):
        access.require(principal(role), permission)
    else:
        with pytest.raises(Denied) as denied:
            access.require(principal(role), permission)
        able = sorted(each.value for each in set(Role) - {Role.GUEST} if LETTERS[each] in EXPECTED.get(permission, ""))
        assert denied.value.fix == (f"a token of role {' or '.join(able)}" if able else None)


@pytest.mark.parametrize(
    ("somebody", "subjects", "owns"),
    [
        (principal(Role.ADMIN), ("project_1",), True),
        (principal(Role.MEMBER, "project_1"), ("project_1",), True),
        (principal(Role.MEMBER, "project_1"), ("project_2",), False),
        (principal(Role.PLATFORM, "platform_1"), ("platform_2", "platform_1"), True),
        (principal(Role.MEMBER, ""), ("",), False),
        (principal(Role.MEMBER, "project_1"), (None,), False),
        (principal(Role.MEMBER, "project_1"), (), False),
    ],
)
def test_everybody_but_an_admin_owns_only_what_is_theirs(
    somebody: access.Principal, subjects: tuple[str | None, ...], *, owns: bool
) -> None:
    """A thing belongs to the caller when one of its subjects is the caller's; an empty subject matches nothing."""
    assert access.owns(somebody, *subjects) is owns


def test_a_tokens_text_is_shown_once_and_only_its_digest_is_kept(store: Store) -> None:
    """The text has the promised form, is nowhere in the database, and finds its principal."""
    project = store.write(lambda tx: a_project(tx, store.now_s))
    token, text = store.write(
        lambda tx: issue_token(tx, role=Role.MEMBER, name="ci", subject_id=project.id, ttl_s=60, now_s=store.now_s)
    )
    assert re.fullmatch(r"cw_member_[A-Za-z0-9_-]{43}", text)
    assert token.digest == digest(text)
    assert text.encode() not in store.at_rest()
    found = store.read(lambda tx: access.authenticate(tx, text, store.now_s))
    assert found == access.Principal(role=Role.MEMBER, subject_id=project.id, token_id=token.id, name="ci")


def test_a_token_ends_at_its_second_or_when_revoked(store: Store) -> None:
    """A token of 60 s works at 59 s and not at 60 s; a revoked one works no more; a stranger's text never did."""

    def issue(ttl_s: float | None) -> tuple[Token, str]:
        return store.write(lambda tx: issue_token(tx, role=Role.ADMIN, name="a", ttl_s=ttl_s, now_s=store.now_s))

    (_, short), (kept, lasting) = issue(60), issue(None)

    def works(text: str) -> bool:
        return store.read(lambda tx: access.authenticate(tx, text, store.now_s)) is not None

    store.clock.advance(59)
    assert works(short)
    store.clock.advance(1)
    assert not works(short)
    store.clock.advance(1e9)
    assert works(lasting)
    revoked = store.write(lambda tx: revoke_token(tx, kept.id, store.now_s))
    again = store.write(lambda tx: revoke_token(tx, kept.id, store.now_s + 5))
    assert revoked.revoked_at_s == again.revoked_at_s == store.now_s
    assert not any(map(works, [lasting, "", "cw_admin_" + "A" * 43, short[:-1], lasting.upper(), "\ud800"]))


@pytest.mark.parametrize(
    ("role", "subject_id", "ttl_s", "error"),
    [
        (Role.MEMBER, "project_nobody", None, NotFound),
        (Role.MEMBER, "", None, NotFound),
        (Role.PLATFORM, "platform_nobody", None, NotFound),
        (Role.ADMIN, "project_1", None, InvalidValue),
        (Role.ADMIN, "", 0, InvalidValue),
        (Role.ADMIN, "", -1, InvalidValue),
        (Role.ADMIN, "", float("inf"), InvalidValue),
        (Role.ADMIN, "", float("nan"), InvalidValue),
    ],
)
def test_a_token_for_nobody_or_no_time_is_not_issued(
    store: Store, role: Role, subject_id: str, ttl_s: float | None, error: type[Exception]
) -> None:
    """The subject must exist and fit the role, and a time to live is positive and finite."""
    with pytest.raises(error):
        store.write(lambda tx: issue_token(tx, role=role, name="x", subject_id=subject_id, ttl_s=ttl_s, now_s=1.0))
    assert store.read(lambda tx: rows.where(tx, Token)) == []


def test_an_enrolment_token_is_used_once_even_in_a_race(store: Store) -> None:
    """Of 50 transactions that use the same enrolment token at once exactly one succeeds."""
    _, text = store.write(
        lambda tx: enrolments.create_enrolment(tx, platform_name="mumbai", endpoints=[API], now_s=store.now_s)
    )

    async def attempt() -> bool:
        try:
            await store.database.write(lambda tx: enrolments.use_enrolment(tx, text, store.now_s))
        except Denied:
            return False
        return True

    async def race() -> list[bool]:
        async with asyncio.TaskGroup() as tasks:
            attempts = [tasks.create_task(attempt()) for _ in range(50)]
        return [each.result() for each in attempts]

    assert sorted(store._runner.run(race())) == [False] * 49 + [True]
    assert store.read(lambda tx: rows.where(tx, Enrolment))[0].used_at_s == store.now_s


def test_an_enrolment_ends(store: Store) -> None:
    """An enrolment token of 10 s is worthless at 10 s, and its text is as little kept as any token's."""
    enrolment, text = store.write(
        lambda tx: enrolments.create_enrolment(tx, platform_name="mumbai", endpoints=[API], ttl_s=10, now_s=store.now_s)
    )
    assert re.fullmatch(r"cw_enrol_[A-Za-z0-9_-]{43}", text)
    assert enrolment.digest == digest(text)
    with pytest.raises(Denied, match="not valid"):
        store.write(lambda tx: enrolments.use_enrolment(tx, text, store.now_s + 10))
    store.write(lambda tx: enrolments.use_enrolment(tx, text, store.now_s + 9.9))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"purpose": "ssh"}, "endpoints[0].purpose"),
        ({"purpose": None}, "endpoints[0].purpose"),
        ({"url": "https://u:p@api.example.org"}, "endpoints[0].url"),
        ({"dial": "10.0.0.5"}, "endpoints[0].dial"),
        ({"dial": "127.1:443"}, "endpoints[0].dial"),
        ({"dials_from": {"fra": "nowhere"}}, "endpoints[0].dials_from.fra"),
        ({"dials_from": ["fra"]}, "endpoints[0].dials_from"),
        ({"ca_pem": "-----BEGIN PRIVATE KEY-----"}, "endpoints[0].ca_pem"),
    ],
)
def test_a_bad_endpoint_in_an_enrolment_is_named(store: Store, change: dict[str, object], field: str) -> None:
    """What an admin approves passes the same grammar as everything else, and the error names the place."""
    with pytest.raises(InvalidValue) as refused:
        store.write(
            lambda tx: enrolments.create_enrolment(tx, platform_name="m", endpoints=[{**API, **change}], now_s=1.0)
        )
    assert refused.value.field == field


def test_an_enrolment_for_a_taken_name_or_twice_one_purpose_is_refused(store: Store) -> None:
    """A platform of that name exists, or one purpose has two URLs: both are said before a token is handed out."""
    add_platform(store, "mumbai")
    with pytest.raises(AlreadyExists):
        store.write(lambda tx: enrolments.create_enrolment(tx, platform_name="mumbai", endpoints=[API], now_s=1.0))
    with pytest.raises(InvalidValue, match="approved once"):
        store.write(lambda tx: enrolments.create_enrolment(tx, platform_name="delhi", endpoints=[API, API], now_s=1.0))
