"""Signed requests: taken once, from the platform whose key signed, for this gateway and this very request."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from catalog.access import Principal
from catalog.messages.handshake import public_text, sign
from catalog.messages.handshake_json import CLOCK_WINDOW_S
from catalog.messages.signed_request import SCHEME, authorization
from catalog.model.platform import Platform
from catalog.proofs import prove
from catalog.store import rows
from catalog.store.tidy import tidy
from tests.support.stores import Store, add_platform, opened_store

NOW_S = 1_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
GATEWAY = public_text(Ed25519PrivateKey.from_private_bytes(b"g" * 32).public_key())
GOOD: dict[str, Any] = {"gateway": GATEWAY, "platform": "mumbai", "method": "POST", "target": "/v1/x", "body": b"{}"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A database with one platform, whose key is KEY."""
    with opened_store(tmp_path) as opened:
        add_platform(opened, public_key=public_text(KEY.public_key()))
        yield opened


def signed(**changes: Any) -> str:
    """Return the header of the good request, with ``changes``."""
    return authorization(KEY, **{**GOOD, "now_s": NOW_S, **changes})


def proven(store: Store, header: str, **changes: Any) -> Principal | None:
    """Return who is proven by ``header`` to have sent the good request, with ``changes``."""
    asked = {name: value for name, value in {**GOOD, "now_s": NOW_S, **changes}.items() if name != "platform"}
    found: Principal | None = store.write(lambda tx: prove(tx, header, **asked))
    return found


def test_a_good_request_is_its_platforms_and_taken_once(store: Store) -> None:
    """The principal has the platform's role and no token; the same header again proves nothing."""
    header = signed()
    principal = proven(store, header)
    assert principal is not None
    platform = store.read(lambda tx: rows.by_name_or_id(tx, Platform, "mumbai"))
    assert (principal.role, principal.subject_id, principal.token_id) == ("platform", platform.id, "")
    assert proven(store, header) is None
    assert proven(store, signed()) is not None


def test_a_nonce_is_remembered_as_long_as_it_could_be_used(store: Store) -> None:
    """Dated ahead as far as is allowed, it is stale before it is forgotten."""
    header = signed(now_s=NOW_S + CLOCK_WINDOW_S)
    assert proven(store, header) is not None
    last_s = NOW_S + 2 * CLOCK_WINDOW_S
    store.write(lambda tx: tidy(tx, last_s))
    assert proven(store, header, now_s=last_s) is None
    assert store.write(lambda tx: tidy(tx, last_s + 1)) == 1


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        pytest.param({}, {"method": "GET"}, id="another method"),
        pytest.param({}, {"target": "/v1/x?a=b"}, id="another target"),
        pytest.param({}, {"body": b"{ }"}, id="another body"),
        pytest.param({}, {"gateway": "AAAA"}, id="another gateway"),
        pytest.param({}, {"now_s": NOW_S + CLOCK_WINDOW_S + 1}, id="too late"),
        pytest.param({}, {"now_s": NOW_S - CLOCK_WINDOW_S - 1}, id="too early"),
        pytest.param({"platform": "somebody-else"}, {}, id="another platform's name"),
    ],
)
def test_whatever_differs_proves_nothing(store: Store, made: dict[str, Any], seen: dict[str, Any]) -> None:
    """A signature is good for exactly what was signed, within the window of the clocks."""
    assert proven(store, signed(**made), **seen) is None


def test_another_key_proves_nothing(store: Store) -> None:
    """Naming the platform's key beside another's signature does not help either."""
    stranger = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    assert proven(store, authorization(stranger, **{**GOOD, "now_s": NOW_S})) is None


@pytest.mark.parametrize(
    "garble",
    [
        pytest.param(lambda header: header[:-8], id="cut short"),
        pytest.param(lambda header: header + "é", id="not ASCII"),
        pytest.param(lambda _: SCHEME, id="no proof"),
        pytest.param(lambda _: f"{SCHEME} {'A' * 100_000}", id="endless"),
        pytest.param(lambda _: f"{SCHEME} W10=", id="a list"),
        pytest.param(lambda header: header.replace(SCHEME, "Bearer"), id="another scheme"),
    ],
)
def test_garbage_proves_nothing_and_is_no_mistake_of_ours(store: Store, garble: Callable[[str], str]) -> None:
    """Whatever stands in the header, the answer is the same as to no header at all."""
    assert proven(store, garble(signed())) is None


def test_a_handshake_answer_is_no_request(store: Store) -> None:
    """What the same key signs elsewhere has another shape, and cannot be used here."""
    answer = sign({"nonce": "n" * 24, "platform": "mumbai", "granted": []}, KEY)
    assert proven(store, f"{SCHEME} {base64.urlsafe_b64encode(json.dumps(answer).encode()).decode()}") is None


def test_a_retired_platform_proves_nothing(store: Store) -> None:
    """Its key is worth nothing from the moment it is disabled."""

    def disable(tx: Any) -> None:
        rows.update(tx, rows.by_name_or_id(tx, Platform, "mumbai"), {"enabled": False}, NOW_S)

    store.write(disable)
    assert proven(store, signed()) is None
