"""Log-ins that are under way: each is its browser's, goes on for ten minutes, and is taken once."""

import base64
import json

from catalog.secrets import Sealer, Secret
from gateway.logins.flows import LASTS_S, Flows
from tests.support.api_world import FixedKeys

NOW_S = 1_000.0


def test_what_is_taken_is_what_began_and_once() -> None:
    """The same values come out, a second time nothing; another flow goes on."""
    known = Flows(Sealer(FixedKeys()))
    (first, kept), (second, also_kept) = known.begin(NOW_S), known.begin(NOW_S)
    assert len({first.state, first.nonce, first.verifier, second.state, second.nonce, second.verifier}) == 6
    assert known.take(kept, first.state, NOW_S) == first
    assert known.take(kept, first.state, NOW_S) is None
    assert known.take(also_kept, second.state, NOW_S + LASTS_S - 1) == second


def test_it_ends() -> None:
    """After ten minutes it is nobody's any more."""
    known = Flows(Sealer(FixedKeys()))
    flow, kept = known.begin(NOW_S)
    assert known.take(kept, flow.state, NOW_S + LASTS_S) is None


def test_a_browser_reads_and_changes_nothing_of_what_it_keeps() -> None:
    """Neither the verifier nor the nonce stand in it; another text, or one sealed for something else, is none."""
    sealer = Sealer(FixedKeys())
    known = Flows(sealer)
    flow, kept = known.begin(NOW_S)
    raw = base64.b64decode(kept.partition(".")[2])
    for secret in (flow.state, flow.nonce, flow.verifier):
        assert secret not in kept
        assert secret.encode() not in raw
    other = sealer.seal(Secret(json.dumps({"state": flow.state})), owner="platform", name="secret")
    spoilt = kept[:-2] + ("A" if kept[-2] != "A" else "B") + kept[-1]
    for text in ("", ".", "k1.", "k9." + kept, kept + "x", spoilt, "k1.\udc80", f"{other.key_id}.{other.sealed}"):
        assert known.take(text, flow.state, NOW_S) is None
    for state in ("", flow.state + "x", "\udc80"):
        assert known.take(kept, state, NOW_S) is None
    assert known.take(kept, flow.state, NOW_S) == flow


def test_what_came_back_is_remembered_up_to_a_number() -> None:
    """So many are not taken twice; of more, the one that came back first is forgotten, and no other."""
    known = Flows(Sealer(FixedKeys()), remembered=3)
    begun = [known.begin(NOW_S) for _ in range(4)]
    for flow, kept in begun[:3]:
        assert known.take(kept, flow.state, NOW_S) == flow
    assert [known.take(kept, flow.state, NOW_S) for flow, kept in begun[:3]] == [None, None, None]
    assert known.take(begun[3][1], begun[3][0].state, NOW_S) == begun[3][0]
    assert [known.take(kept, flow.state, NOW_S) for flow, kept in begun[1:]] == [None, None, None]
    assert known.take(begun[0][1], begun[0][0].state, NOW_S) == begun[0][0]
