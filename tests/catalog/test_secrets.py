"""Sealing: what opens only for its owner, name and key, and never shows itself."""

import base64
import copy
import pickle
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import SealBroken
from catalog.secrets import SealedValue, Sealer, Secret
from tests.support.stores import CANARY, MemoryKeys

OWNERS = ("platform_1", "platform_2", "", 'platform_1","secret')
NAMES = ("secret", "other", "")


@given(text=st.text(max_size=200), owner=st.text(max_size=20), name=st.text(max_size=20))
def test_what_was_sealed_opens_for_the_same_owner_and_name(text: str, owner: str, name: str) -> None:
    """Any text comes back as it was, and sealing it twice gives different bytes."""
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        text = "replaced"
    sealer = Sealer(MemoryKeys())
    one, two = (sealer.seal(Secret(text), owner=owner, name=name) for _ in range(2))
    assert sealer.open(one, owner=owner, name=name).reveal() == text
    assert one.sealed != two.sealed


def test_no_swap_between_owners_or_names_opens() -> None:
    """All pairs of different (owner, name) are tried: a row pasted elsewhere never opens, not even under odd names."""
    sealer = Sealer(MemoryKeys())
    places = list(product(OWNERS, NAMES))
    for (owner, name), (elsewhere, other) in permutations(places, 2):
        value = sealer.seal(Secret(CANARY), owner=owner, name=name)
        with pytest.raises(SealBroken):
            sealer.open(value, owner=elsewhere, name=other)
        with pytest.raises(SealBroken):
            sealer.reseal(value, owner=elsewhere, name=other)


def test_every_flipped_bit_is_noticed() -> None:
    """Each bit of nonce, wrapped key and ciphertext is flipped in turn, and each cut is tried: nothing opens."""
    sealer = Sealer(MemoryKeys())
    value = sealer.seal(Secret("ab"), owner="o", name="n")
    raw = base64.b64decode(value.sealed)
    altered = [
        raw[:place] + bytes([raw[place] ^ (1 << bit)]) + raw[place + 1 :]
        for place in range(len(raw))
        for bit in range(8)
    ]
    altered += [raw[:length] for length in range(len(raw))]
    for bytes_ in altered:
        broken = SealedValue(key_id=value.key_id, sealed=base64.b64encode(bytes_).decode())
        with pytest.raises(SealBroken):
            sealer.open(broken, owner="o", name="n")


def test_a_fingerprint_recognises_across_restarts_and_rotations() -> None:
    """Equal data has equal fingerprints in every process that holds the key; an older key's are still recognised.

    Once that key is gone nothing is recognised by it, without an error; other data never is.
    """
    keys = MemoryKeys()
    kept = Sealer(keys).fingerprint(b"data")
    assert Sealer(keys).fingerprint(b"data") == kept
    assert not Sealer(keys).is_fingerprint_of(kept, b"datum")
    keys.keys["k2"] = b"2" * 32
    assert Sealer(keys).fingerprint(b"data") != kept
    assert Sealer(keys).is_fingerprint_of(kept, b"data")
    for other in ("", ":", "nobody:" + "0" * 64, kept[:-1], kept.rpartition(":")[2]):
        assert not Sealer(keys).is_fingerprint_of(other, b"data")
    del keys.keys["k1"]
    assert not Sealer(keys).is_fingerprint_of(kept, b"data")


def test_two_rows_cannot_be_mixed() -> None:
    """The data key of one value with the ciphertext of another, of the same owner and name, does not open."""
    sealer = Sealer(MemoryKeys())
    one, two = (base64.b64decode(sealer.seal(Secret(text), owner="o", name="n").sealed) for text in ("one", "two"))
    mixed = SealedValue(key_id="k1", sealed=base64.b64encode(one[:60] + two[60:]).decode())
    with pytest.raises(SealBroken):
        sealer.open(mixed, owner="o", name="n")


@pytest.mark.parametrize("sealed", ["", "not base64!", "AAAA", "é"])
def test_rubbish_is_a_broken_seal(sealed: str) -> None:
    """What is no sealed value at all raises SealBroken and nothing else."""
    with pytest.raises(SealBroken):
        Sealer(MemoryKeys()).open(SealedValue(key_id="k1", sealed=sealed), owner="o", name="n")


def test_an_unknown_key_opens_nothing() -> None:
    """Without its key, or under another key's id, a value stays shut."""
    keys = MemoryKeys()
    sealer = Sealer(keys)
    value = sealer.seal(Secret(CANARY), owner="o", name="n")
    keys.keys["k2"] = keys.keys["k1"]
    with pytest.raises(SealBroken):
        sealer.open(SealedValue(key_id="k2", sealed=value.sealed), owner="o", name="n")
    del keys.keys["k1"]
    with pytest.raises(SealBroken):
        sealer.open(value, owner="o", name="n")


def test_a_rotation_leaves_nothing_under_the_old_key() -> None:
    """After a new key: new seals use it, old ones open, resealed ones open without the old key."""
    keys = MemoryKeys()
    sealer = Sealer(keys)
    old = sealer.seal(Secret(CANARY), owner="o", name="n")
    keys.keys["k2"] = b"2" * 32
    assert sealer.seal(Secret("x"), owner="o", name="n").key_id == "k2"
    assert sealer.open(old, owner="o", name="n").reveal() == CANARY
    assert not sealer.is_current(old)
    new = sealer.reseal(old, owner="o", name="n")
    del keys.keys["k1"]
    assert sealer.is_current(new)
    assert sealer.open(new, owner="o", name="n").reveal() == CANARY


def test_a_secret_never_shows_itself() -> None:
    """Neither repr, str, any format, pickle, copy nor an exception's text that holds it gives the value away."""
    secret = Secret(CANARY)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:>40}",
        f"{secret} {[secret]!r}",
    ]
    shown += [str(ValueError("bad", secret)), repr({"secret": secret})]
    assert not any(CANARY in text for text in shown)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(secret)
