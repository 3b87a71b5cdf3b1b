"""The price lists that come with libcloud, as a seed."""

import re

import pytest

from catalog.errors import NotFound
from drivers.registry import published_prices


def test_a_published_list_names_its_source_and_date_and_never_says_zero() -> None:
    """Every price of EC2 is above 0 (0 is how the list says unknown), in one region alone when asked for one."""
    everywhere = published_prices("ec2", "")
    ireland = published_prices("ec2", "eu-west-1")
    assert re.fullmatch(r"libcloud [0-9.]+, 20\d\d-\d\d-\d\d", ireland.source)
    assert ireland.as_of_s > 1.6e9
    assert 0 < len(ireland.prices) < len(everywhere.prices)
    assert {price.region for price in ireland.prices} == {"eu-west-1"}
    assert min(price.per_hour for price in everywhere.prices) > 0
    sizes = {price.size: price for price in ireland.prices}
    assert str(sizes["t2.micro"].per_hour) == "0.0126"
    assert sizes["t2.micro"].currency == "USD"


@pytest.mark.parametrize(
    ("provider", "region"),
    [
        pytest.param("openstack", "", id="private clouds have none"),
        pytest.param("ec2", "nowhere", id="no such region"),
        pytest.param("gce_disks", "", id="a list of another shape"),
    ],
)
def test_what_is_not_published_is_not_found(provider: str, region: str) -> None:
    """It is said so, and no price is made up."""
    with pytest.raises(NotFound):
        published_prices(provider, region)
