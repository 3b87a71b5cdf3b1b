"""What an order for each kind must say, and what it may not."""

from typing import Any

import pytest

from catalog.assets.wanted import options, refuse_parent
from catalog.cloud_assets import AssetKind
from catalog.errors import CatalogError, InvalidValue, WrongState
from catalog.model.asset import Asset, AssetState
from catalog.model.ids import AssetId, OfferId, PlatformId, ProjectId

RECORD = {"host": "www.example.org", "type": "A", "value": "192.0.2.1"}


def made(kind: AssetKind, state: AssetState = AssetState.READY) -> Asset:
    """Return an asset, a zone's domain being example.org."""
    return Asset(
        id=AssetId("asset_P"), kind=kind.value, capability=kind.value, project_id=ProjectId("p"),
        platform_id=PlatformId("q"), offer_id=OfferId("o"), state=state, name="n", cloud_name="n",
        options={"domain": "example.org"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        pytest.param(
            AssetKind.ZONE, {"domain": "Example.ORG."}, {"domain": "example.org"}, id="a domain, as it is written"
        ),
        pytest.param(AssetKind.BALANCER, {"port": 80}, {"port": "80", "machine_port": "80"}, id="the same port behind"),
        pytest.param(
            AssetKind.BALANCER, {"port": 80, "machine_port": 8080}, {"port": "80", "machine_port": "8080"}, id="another"
        ),
        pytest.param(AssetKind.RECORD, RECORD, {**RECORD, "ttl": "300"}, id="an address"),
        pytest.param(
            AssetKind.RECORD,
            {**RECORD, "type": "AAAA", "value": "2001:DB8:0::1", "ttl": 60},
            {**RECORD, "type": "AAAA", "value": "2001:db8::1", "ttl": "60"},
            id="a long address, shortened",
        ),
        pytest.param(
            AssetKind.RECORD,
            {"host": "example.org", "type": "TXT", "value": "v=spf1 -all"},
            {"host": "example.org", "type": "TXT", "value": '"v=spf1 -all"', "ttl": "300"},
            id="a text, quoted",
        ),
        pytest.param(AssetKind.CONTAINER, {"port": None, "domain": None}, {}, id="nothing"),
    ],
)
def test_what_is_wanted_is_told_in_the_driver_s_words(
    kind: AssetKind, given: dict[str, Any], told: dict[str, str]
) -> None:
    """Names are in lower case, addresses in their one form, numbers in decimal."""
    assert options(kind, given, made(AssetKind.ZONE) if kind is AssetKind.RECORD else None) == told


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        pytest.param(AssetKind.ZONE, {}, "domain", id="a zone of nothing"),
        pytest.param(AssetKind.ZONE, {"domain": "localhost"}, "domain", id="one label"),
        pytest.param(AssetKind.ZONE, {"domain": "a..example"}, "domain", id="an empty label"),
        pytest.param(AssetKind.ZONE, {"domain": "x" * 64 + ".example"}, "domain", id="a label too long"),
        pytest.param(AssetKind.ZONE, {"domain": "ex ample.org"}, "domain", id="a blank"),
        pytest.param(AssetKind.ZONE, {"domain": "example.org", "port": 80}, "port", id="what a zone has not"),
        pytest.param(AssetKind.BALANCER, {}, "port", id="no port"),
        pytest.param(AssetKind.BALANCER, {"port": 65_536}, "port", id="too large a port"),
        pytest.param(AssetKind.BALANCER, {"port": 80, "machine_port": 0}, "machine_port", id="port 0 behind"),
        pytest.param(AssetKind.RECORD, {**RECORD, "host": "www.example.com"}, "host", id="of another zone"),
        pytest.param(AssetKind.RECORD, {**RECORD, "host": "notexample.org"}, "host", id="that only ends alike"),
        pytest.param(AssetKind.RECORD, {**RECORD, "type": "NS"}, "record_type", id="a type that is not ours to set"),
        pytest.param(AssetKind.RECORD, {**RECORD, "value": "::1"}, "value", id="an address of the other kind"),
        pytest.param(AssetKind.RECORD, {**RECORD, "value": "192.0.2.1|x"}, "value", id="more than an address"),
        pytest.param(AssetKind.RECORD, {**RECORD, "type": "TXT", "value": 'a"b'}, "value", id="a quote"),
        pytest.param(AssetKind.RECORD, {**RECORD, "type": "TXT", "value": "a\nb"}, "value", id="two lines"),
        pytest.param(
            AssetKind.RECORD, {"host": "example.org", "type": "CNAME", "value": "a.example"}, "record_type", id="apex"
        ),
        pytest.param(AssetKind.RECORD, {**RECORD, "ttl": 0}, "ttl_s", id="no time at all"),
    ],
)
def test_what_makes_no_sense_names_its_field(kind: AssetKind, given: dict[str, Any], field: str) -> None:
    """The field is the order's own, as it is called there."""
    with pytest.raises(InvalidValue) as refused:
        options(kind, given, made(AssetKind.ZONE) if kind is AssetKind.RECORD else None)
    assert refused.value.field == field


@pytest.mark.parametrize("kind", list(AssetKind))
@pytest.mark.parametrize("parent", [None, *AssetKind])
def test_each_kind_is_made_from_what_it_can_be(kind: AssetKind, parent: AssetKind | None) -> None:
    """All pairs: snapshots of volumes, volumes of snapshots or nothing, records in zones, the others of nothing."""
    right = {
        (AssetKind.SNAPSHOT, AssetKind.VOLUME), (AssetKind.VOLUME, AssetKind.SNAPSHOT), (AssetKind.VOLUME, None),
        (AssetKind.RECORD, AssetKind.ZONE), (AssetKind.CONTAINER, None), (AssetKind.ZONE, None),
        (AssetKind.BALANCER, None),
    }  # fmt: skip

    def outcome(state: AssetState = AssetState.READY) -> type[CatalogError] | None:
        try:
            refuse_parent(kind, None if parent is None else made(parent, state))
        except CatalogError as error:
            return type(error)
        return None

    assert outcome() is (None if (kind, parent) in right else InvalidValue)
    if parent is not None and (kind, parent) in right:
        assert outcome(AssetState.CREATING) is WrongState
