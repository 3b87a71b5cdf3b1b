"""What waits for approvals: all approvers sign the same terms, and only with enough of them it is granted."""

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.errors import InvalidValue, NotFound
from catalog.messages.handshake import Decision, public_text
from catalog.messages.quorum import Approval, approve
from gateway.connector import commands
from gateway.connector.policy import Policy, Verdict
from gateway.connector.settings import read_settings
from gateway.connector.state import State
from tests.support.platform_links import request, write_config

PEOPLE = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in range(1, 4)]
KEYS = [public_text(key.public_key()) for key in PEOPLE]
WANTED = {"machine": ("create", "list")}


def rule(*, need: int = 2, keys: Sequence[str] = KEYS, more: str = "") -> str:
    """Return a rule that takes approvals."""
    listed = ", ".join(f'"{key}"' for key in keys)
    return f'[policy.machine]\ndecision = "ask"\napprovals = {{ need = {need}, of = [{listed}] }}\n{more}'


def also(key: str) -> str:
    """Return another text that decodes to the same key: an unused bit of it is set."""
    other = f"{key[:-2]}{chr(ord(key[-2]) + 1)}="
    assert base64.b64decode(other, validate=True) == base64.b64decode(key, validate=True)
    return other


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a connector's file with such a rule, whose grants last a minute."""
    return write_config(tmp_path, rule(more="expires_after_s = 60"))


@pytest.fixture
def state(config: Path) -> State:
    """Return the connector's state."""
    return State(read_settings(config).state_file)


def policy_of(config: Path) -> Policy:
    """Return the policy as the file has it now."""
    return read_settings(config).policy


def settle(state: State, config: Path, now_s: float, request_id: str = "grant_1") -> Decision:
    """Let the gateway ask."""
    return state.settle(request(request_id, **WANTED), policy_of(config), now_s)


def sign(state: State, key: Ed25519PrivateKey, request_id: str = "grant_1") -> None:
    """Approve what is shown."""
    state.approve(request_id, "machine", approve(key, state.shown(request_id, "machine")))


def test_it_waits_until_enough_have_signed_and_repeats_what_they_signed(state: State, config: Path) -> None:
    """Pending with none and with one; granted with two, on the terms of the first question, for ever."""
    assert settle(state, config, 10.0).pending == ("machine",)
    sign(state, PEOPLE[0])
    assert settle(state, config, 20.0).pending == ("machine",)
    sign(state, PEOPLE[0])
    assert settle(state, config, 25.0).pending == ("machine",), "the same one twice is one"
    sign(state, Ed25519PrivateKey.from_private_bytes(b"s" * 32))
    assert settle(state, config, 28.0).pending == ("machine",), "a stranger is nobody"
    sign(state, PEOPLE[2])
    (granted,) = settle(state, config, 30.0).granted
    assert granted.expires_at_s == 70.0, "a minute from when it was first shown"
    assert granted.approvals is not None
    assert {each.key for each in granted.approvals.given} == {KEYS[0], KEYS[2]}
    assert settle(state, config, 40.0).granted == (granted,)


def test_no_single_word_grants_it_and_any_denies_it(state: State, config: Path) -> None:
    """The owner's own answer counts for nothing when it says yes; when it says no, that is the end."""
    settle(state, config, 10.0)
    state.answer(request_id="grant_1", capability="machine", verdict=Verdict.GRANT, now_s=11.0)
    assert settle(state, config, 12.0).pending == ("machine",)
    state.answer(request_id="grant_1", capability="machine", verdict=Verdict.DENY, now_s=13.0)
    decided = settle(state, config, 14.0)
    assert (decided.granted, decided.pending) == ((), ())


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param("quota = 3\nexpires_after_s = 60", id="other terms"),
        pytest.param("expires_at = 2030-01-01T00:00:00Z", id="another end"),
    ],
)
def test_what_was_signed_of_other_terms_is_worth_nothing(
    state: State, config: Path, tmp_path: Path, changed: str
) -> None:
    """The owner changes the rule between two approvals: both have to look at the new terms."""
    settle(state, config, 10.0)
    sign(state, PEOPLE[0])
    write_config(tmp_path, rule(more=changed))
    assert settle(state, config, 20.0).pending == ("machine",)
    sign(state, PEOPLE[1])
    assert settle(state, config, 30.0).pending == ("machine",)
    sign(state, PEOPLE[0])
    assert len(settle(state, config, 40.0).granted) == 1


def test_terms_that_ran_out_while_they_waited_are_shown_anew(state: State, config: Path) -> None:
    """After the minute was over, one approval of two, the second comes too late: all begin again."""
    settle(state, config, 10.0)
    sign(state, PEOPLE[0])
    settle(state, config, 71.0)
    sign(state, PEOPLE[1])
    assert settle(state, config, 72.0).pending == ("machine",)
    sign(state, PEOPLE[0])
    assert settle(state, config, 73.0).granted[0].expires_at_s == 131.0


def test_who_was_struck_off_the_list_does_not_count(state: State, config: Path, tmp_path: Path) -> None:
    """The list that counts is the one of the moment of the answer."""
    settle(state, config, 10.0)
    for key in PEOPLE[:2]:
        sign(state, key)
    write_config(tmp_path, rule(keys=KEYS[1:], more="expires_after_s = 60"))
    assert settle(state, config, 20.0).pending == ("machine",)
    sign(state, PEOPLE[2])
    assert len(settle(state, config, 30.0).granted) == 1


def test_another_request_takes_approvals_of_its_own(state: State, config: Path) -> None:
    """What was approved once is not approved for ever: a renewal asks again."""
    settle(state, config, 10.0)
    for key in PEOPLE[:2]:
        sign(state, key)
    assert len(settle(state, config, 20.0).granted) == 1
    assert settle(state, config, 30.0, "grant_2").pending == ("machine",)


def test_what_is_no_approval_is_refused(state: State, config: Path) -> None:
    """A signature of something else, and an approval of what nobody asks."""
    settle(state, config, 10.0)
    with pytest.raises(InvalidValue, match="did not sign"):
        state.approve("grant_1", "machine", approve(PEOPLE[0], b"another thing"))
    with pytest.raises(NotFound):
        state.approve("grant_9", "machine", Approval(key=KEYS[0], signature=""))


def test_people_approve_by_command_here_or_from_elsewhere(
    state: State, config: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """One signs with a key file beside the connector; the other brings a signature of what `shown` prints."""
    key_file = tmp_path / "approver.pem"
    common = ["--config", str(config)]
    assert commands.main(["approver-key", *common, "--key-file", str(key_file)]) == 0
    first = capfdbinary.readouterr().out.decode().strip()
    write_config(tmp_path, rule(keys=(first, KEYS[0])))
    settle(state, config, 10.0)
    assert commands.main(["approve", *common, "--key-file", str(key_file), "--", "grant_1", "machine"]) == 0
    assert commands.main(["shown", *common, "--", "grant_1", "machine"]) == 0
    elsewhere = approve(PEOPLE[0], capfdbinary.readouterr().out)
    brought = ["--key", elsewhere.key, "--signature", elsewhere.signature]
    assert commands.main(["approve", *common, *brought, "--", "grant_1", "machine"]) == 0
    assert len(settle(state, config, 20.0).granted) == 1
    assert commands.main(["approve", *common, "--", "grant_1", "machine"]) == 2, "nothing that signs"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        pytest.param(rule(need=4), "at most as many", id="more than there are"),
        pytest.param(rule(keys=(KEYS[0], KEYS[0])), "each of them once", id="one twice"),
        pytest.param(rule(keys=(KEYS[0], also(KEYS[0]))), "policy.machine.approvals.of", id="one in two texts"),
        pytest.param(rule().replace('"ask"', '"grant"'), "they are the answer", id="beside a grant"),
        pytest.param(rule(keys=("no key", KEYS[0])), "policy.machine.approvals.of", id="no key"),
    ],
)
def test_a_rule_that_cannot_be_met_is_refused(tmp_path: Path, policy: str, said: str) -> None:
    """When the file is read, with what would be right."""
    with pytest.raises(InvalidValue, match=said):
        read_settings(write_config(tmp_path, policy))
