"""Organisations and projects: whose names are whose, and what finds them."""

import pytest

from catalog import tenancy
from catalog.errors import AlreadyExists, InvalidValue, NotFound
from tests.support.ordering import a_project
from tests.support.stores import Store


def test_a_projects_name_is_its_organisations_own(store: Store) -> None:
    """Two organisations may both have a project called shop; one organisation has one."""
    mine = store.write(lambda tx: a_project(tx, store.now_s, organisation="acme"))
    theirs = store.write(lambda tx: a_project(tx, store.now_s, organisation="zenith"))
    assert mine.id != theirs.id
    with pytest.raises(AlreadyExists) as refused:
        store.write(lambda tx: tenancy.create_project(tx, organisation="acme", name="shop", now_s=store.now_s))
    assert refused.value.field == "name"
    with pytest.raises(AlreadyExists):
        store.write(lambda tx: tenancy.create_organisation(tx, name="acme", now_s=store.now_s))


def test_a_project_is_found_by_its_id_and_by_its_full_reference(store: Store) -> None:
    """ORGANISATION/PROJECT and the id lead to it, each to no other; a bare name, or another's organisation, to none."""
    mine = store.write(lambda tx: a_project(tx, store.now_s, organisation="acme"))
    theirs = store.write(lambda tx: a_project(tx, store.now_s, organisation="zenith"))
    for project, reference in ((mine, "acme/shop"), (theirs, "zenith/shop")):
        assert store.read(lambda tx, wanted=reference: tenancy.project(tx, wanted)).id == project.id
        assert store.read(lambda tx, wanted=project: tenancy.project(tx, wanted.id)).id == project.id
        assert store.read(lambda tx, wanted=project: tenancy.reference_to(tx, wanted)) == reference
    for nothing in ("shop", "acme", "acme/", "/shop", "nobody/shop", "acme/shop/x"):
        with pytest.raises(NotFound):
            store.read(lambda tx, wanted=nothing: tenancy.project(tx, wanted))
        with pytest.raises(InvalidValue):
            store.read(lambda tx, wanted=nothing: tenancy.known_project(tx, wanted))


@pytest.mark.parametrize("name", ["", "a/b", "A", "project_1", "-a"])
def test_no_name_passes_for_an_id_or_a_reference(store: Store, name: str) -> None:
    """Names follow the grammar of all names: neither a slash nor an underscore can stand in one."""
    store.write(lambda tx: tenancy.create_organisation(tx, name="acme", now_s=store.now_s))
    with pytest.raises(InvalidValue):
        store.write(lambda tx: tenancy.create_organisation(tx, name=name, now_s=store.now_s))
    with pytest.raises(InvalidValue):
        store.write(lambda tx: tenancy.create_project(tx, organisation="acme", name=name, now_s=store.now_s))
