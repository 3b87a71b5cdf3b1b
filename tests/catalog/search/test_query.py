"""Searches as texts: what they mean, and what is refused with the name of its part."""

import pytest

from catalog.errors import InvalidValue
from catalog.search.query import Bounds, read, system


def test_a_search_is_read_from_plain_texts() -> None:
    """Lists by comma, both ends of a number, words once and in lower case, one weight beside the usual others."""
    query = read(
        {
            "text": "M5.Large debian debian",
            "platform": "north, south",
            "country": "de",
            "vcpu_min": "2",
            "vcpu_max": "8",
            "os": "Debian 12",
            "weights": "price=3",
            "sort": "-vcpu",
            "label": "tier=gold,eu",
        }
    )
    assert query.words == ("m5", "large", "debian")
    assert (query.sets["platform"], query.sets["country"]) == ({"north", "south"}, {"DE"})
    assert (query.bounds["vcpu"], query.bounds["gpu"].is_open) == (Bounds(2, 8), True)
    assert (query.os_family, query.os_version) == ("debian", "12")
    assert query.weights == {"price": 3, "fit": 1, "availability": 1, "reachability": 1}
    assert (query.sort, query.is_descending) == ("vcpu", True)
    assert query.labels == (("tier", "gold"), ("eu", ""))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("vcpus", "2", id="unknown part"),
        pytest.param("vcpu_min", "many", id="no number"),
        pytest.param("vcpu_min", "-1", id="less than nothing"),
        pytest.param("kind", "thing", id="unknown kind"),
        pytest.param("continent", "Atlantis", id="unknown continent"),
        pytest.param("currency", "EUX", id="unknown currency"),
        pytest.param("sort", "name", id="unknown sort"),
        pytest.param("weights", "luck=1", id="unknown weight"),
        pytest.param("weights", "price=0,fit=0,availability=0,reachability=0", id="nothing counts"),
        pytest.param("text", "a b c d e f g h i", id="too many words"),
        pytest.param("text", "--", id="no words"),
        pytest.param("os", "12", id="no system"),
        pytest.param("platform", ",", id="empty list"),
        pytest.param("region", "a\x00b", id="control characters"),
        pytest.param("label", "Tier=gold", id="no label"),
    ],
)
def test_what_cannot_be_searched_for_is_named(name: str, text: str) -> None:
    """The field is the part's own name."""
    with pytest.raises(InvalidValue) as caught:
        read({name: text})
    assert caught.value.field == name


def test_a_price_limit_needs_a_currency() -> None:
    """A number without one could be anything."""
    with pytest.raises(InvalidValue) as caught:
        read({"price_max": "1"})
    assert caught.value.field == "currency"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("debian 12", ("debian", "12"), id="words"),
        pytest.param("ubuntu-24.04", ("ubuntu", "24.04"), id="dash"),
        pytest.param("windows", ("windows", ""), id="family"),
        pytest.param("amazon-linux 2023", ("amazon-linux", "2023"), id="family with a dash"),
    ],
)
def test_systems(text: str, expected: tuple[str, str]) -> None:
    """Family, and version where it is said."""
    assert system(text) == expected
