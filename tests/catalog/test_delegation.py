"""What an owner of an organisation may set for its projects: tighter always, looser within an admin's frame alone."""

from collections.abc import Callable
from typing import Any

import pytest

from catalog import accounts, delegation, quotas
from catalog.costs import budgets
from catalog.errors import CatalogError, Denied, InvalidValue
from catalog.holders import Holder, holder
from catalog.leases import rules
from catalog.store.database import Tx
from tests.support.approving import ADMIN, account, people, who
from tests.support.ordering import OTHER_PROJECT, PROJECT, seed
from tests.support.stores import Store

OWNER = f"organisation_{PROJECT}"
Change = dict[str, Any]


@pytest.fixture
def world(store: Store) -> Store:
    """Return a database in which nils owns the organisation, and olga a project of it."""

    def fill(tx: Tx) -> None:
        seed(tx)
        people(tx)
        accounts.join(tx, ADMIN, account=account(tx, "nils").id, role="owner", organisation=OWNER, now_s=1.0)

    store.write(fill)
    return store


def set_quota(tx: Tx, whose: Holder, terms: Change) -> object:
    """Set it as an admin."""
    return quotas.change(tx, whose, terms, 1.0)


def set_lease(tx: Tx, whose: Holder, terms: Change) -> object:
    """Set it as an admin."""
    return rules.change_rule(tx, whose, terms, 1.0)


def set_budget(tx: Tx, whose: Holder, terms: Change) -> object:
    """Set it as an admin."""
    return budgets.change(tx, whose, terms, 1.0)


SETTERS: dict[str, tuple[Callable[[Tx, Holder, Change], object], Callable[..., None]]] = {
    "quota": (set_quota, delegation.check_quota),
    "lease": (set_lease, delegation.check_lease),
    "budget": (set_budget, delegation.check_budget),
}
EUR = {"currency": "EUR"}


@pytest.mark.parametrize(
    ("what", "frame", "held", "change", "refused"),
    [
        pytest.param("quota", None, None, {"machines": 5}, None, id="a first limit"),
        pytest.param("quota", None, {"machines": 5}, {"machines": 4}, None, id="a tighter one"),
        pytest.param("quota", None, {"machines": 5}, {"machines": 6}, Denied, id="a looser one without a frame"),
        pytest.param("quota", None, {"machines": 5}, {"machines": None}, Denied, id="none without a frame"),
        pytest.param("quota", None, {"machines": 5}, {"cores": 9}, None, id="another limit"),
        pytest.param("quota", {"machines": 9}, {"machines": 5}, {"machines": 9}, None, id="up to the frame"),
        pytest.param("quota", {"machines": 9}, {"machines": 5}, {"machines": 10}, InvalidValue, id="above the frame"),
        pytest.param("quota", {"machines": 9}, None, {"machines": 10}, InvalidValue, id="a first one above the frame"),
        pytest.param("quota", {"machines": 9}, {"machines": 5}, {"machines": None}, None, id="none: the frame holds"),
        pytest.param("quota", {"cores": 9}, {"machines": 5}, {"machines": 6}, Denied, id="a frame of another limit"),
        pytest.param("lease", {"longest_s": 9.0}, None, {"longest_s": 10.0}, InvalidValue, id="a lease too long"),
        pytest.param("lease", None, {"longest_s": 5.0}, {"longest_s": 6.0}, Denied, id="a longer one without a frame"),
        pytest.param("lease", None, {"longest_s": 5.0}, {"longest_s": 4.0}, None, id="a shorter one"),
        pytest.param("lease", None, {"default_s": 5.0}, {"default_s": 6.0}, None, id="what is usual is free"),
        pytest.param("budget", None, None, {"amount": "5", **EUR}, None, id="a first budget"),
        pytest.param("budget", None, {"amount": "5", **EUR}, {"amount": "4.99"}, None, id="a smaller one"),
        pytest.param("budget", None, {"amount": "5", **EUR}, {"amount": "5.01"}, Denied, id="a larger one"),
        pytest.param("budget", None, {"amount": "5", **EUR}, {"currency": "JPY"}, Denied, id="other money"),
        pytest.param("budget", None, {"amount": "5", **EUR}, None, Denied, id="none at all"),
        pytest.param(
            "budget", None, {"amount": "5", **EUR, "stops_orders": True}, {"stops_orders": False}, Denied, id="no stop"
        ),
        pytest.param("budget", None, {"amount": "5", **EUR}, {"stops_machines": True}, None, id="a further stop"),
        pytest.param("budget", None, {"amount": "5", **EUR}, {"unknown_hourly": "0"}, Denied, id="unknown for nothing"),
        pytest.param("budget", {"amount": "9", **EUR}, {"amount": "5", **EUR}, {"amount": "9"}, None, id="all of it"),
        pytest.param("budget", {"amount": "9", **EUR}, None, {"amount": "9.01", **EUR}, InvalidValue, id="above it"),
        pytest.param(
            "budget", {"amount": "9", **EUR}, None, {"amount": "1", "currency": "JPY"}, InvalidValue, id="incomparable"
        ),
        pytest.param("budget", {"amount": "9", **EUR}, {"amount": "5", **EUR}, None, None, id="none of its own"),
    ],
)
def test_an_owner_keeps_within_what_an_admin_has_set(
    world: Store, *, what: str, frame: Change | None, held: Change | None, change: Change | None, refused: type | None
) -> None:
    """``frame`` is the organisation's, ``held`` the project's, both an admin's; an admin may do it all."""
    setter, check = SETTERS[what]
    for whose, terms in ((OWNER, frame), (PROJECT, held)):
        if terms is not None:
            world.write(lambda tx, w=whose, t=terms: setter(tx, holder(tx, w), t))
    try:
        world.read(lambda tx: check(tx, who(tx, "nils"), holder(tx, PROJECT), change))
        found = None
    except CatalogError as error:
        found = type(error)
    assert found is refused
    world.read(lambda tx: check(tx, ADMIN, holder(tx, PROJECT), change))


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        pytest.param("nils", OWNER, id="the frame itself"),
        pytest.param("nils", OTHER_PROJECT, id="a rival's project"),
        pytest.param("olga", PROJECT, id="by who owns the project alone"),
        pytest.param("mara", PROJECT, id="by a member"),
    ],
)
@pytest.mark.parametrize("what", list(SETTERS))
def test_nobody_else_sets_anything(world: Store, name: str, whose: str, what: str) -> None:
    """Not even something tighter."""
    change: Change = {"quota": {"machines": 0}, "lease": {"longest_s": 1.0}, "budget": {"amount": "1", **EUR}}[what]
    with pytest.raises(Denied):
        world.read(lambda tx: SETTERS[what][1](tx, who(tx, name), holder(tx, whose), change))
