"""What a grant to forward covers, what it can never cover, and what is no destination at all."""

import pytest

from catalog.destinations import DESTINATIONS_LIMIT, destination, destinations, require_covered
from catalog.errors import Denied, InvalidValue
from catalog.ports import Address

SCOPE = ("10.0.0.0/24:22", "[fd00:1::/64]:5432-5433", "db.north.internal:5432", "192.168.1.7:80")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("10.0.0.0/24:22", "10.0.0.0/24:22", id="network"),
        pytest.param("10.0.0.5:22", "10.0.0.5/32:22", id="address"),
        pytest.param("[FD00:1::/64]:5432-5433", "[fd00:1::/64]:5432-5433", id="IPv6 and a range"),
        pytest.param("DB.North.internal:5432", "db.north.internal:5432", id="name"),
        pytest.param("10.0.0.5:22-22", "10.0.0.5/32:22", id="a range of one"),
    ],
)
def test_a_destination_has_one_form(text: str, canonical: str) -> None:
    """However it was written, it is told and compared in its canonical form, which reads back as the same."""
    assert str(destination(text)) == canonical
    assert destination(canonical) == destination(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.5", "10.0.0.5:", ":22", "10.0.0.5:0", "10.0.0.5:65536", "10.0.0.5:30-20", "10.0.0.5/24:22",
        "fd00::5:22",
        "[10.0.0.5]:22", "10.0.0.5:22,23", "*.internal:22", "0x7f.1:22", "10.0.0.256:22", "[fe80::1%eth0]:22", "a b:22",
        "127.0.0.1:22", "127.0.0.0/9:22", "169.254.169.254:80", "0.0.0.0:80", "[::1]:22", "[fd00:ec2::254]:80",
        "[::ffff:10.0.0.5]:22", "[64:ff9b::7f00:1]:22", "localhost:22", "x.localhost:22", "metadata.google.internal:80",
        "224.0.0.1:22", "255.255.255.255:22", "168.63.129.16:80", "100.100.100.200:80",
    ],
)  # fmt: skip
def test_what_is_no_destination_is_refused_and_says_what_would_be(text: str) -> None:
    """Odd forms, and places that nobody is forwarded to, are refused when the owner writes them down."""
    with pytest.raises(InvalidValue) as refused:
        destination(text)
    assert refused.value.fix


@pytest.mark.parametrize(
    ("host", "port", "is_covered"),
    [
        pytest.param("10.0.0.255", 22, True, id="the last of the network"),
        pytest.param("10.0.1.0", 22, False, id="the first after it"),
        pytest.param("10.0.0.5", 23, False, id="another port"),
        pytest.param("fd00:1::ffff", 5433, True, id="IPv6, the last port"),
        pytest.param("fd00:1::ffff", 5434, False, id="IPv6, the port after"),
        pytest.param("db.north.internal", 5432, True, id="the very name"),
        pytest.param("x.db.north.internal", 5432, False, id="a name below"),
        pytest.param("192.168.1.7", 80, True, id="one address"),
        pytest.param("192.168.1.8", 80, False, id="its neighbour"),
    ],
)
def test_exactly_what_is_granted_is_covered(host: str, port: int, *, is_covered: bool) -> None:
    """Bounds of networks and ranges belong to them, what lies beside does not; the refusal names what is granted."""
    if is_covered:
        require_covered(SCOPE, Address(host=host, port=port))
    else:
        with pytest.raises(Denied) as refused:
            require_covered(SCOPE, Address(host=host, port=port))
        assert "10.0.0.0/24:22" in refused.value.fix


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "::1", "fe80::1", "fd00:ec2::254",
     "::ffff:7f00:1", "::ffff:a00:5", "64:ff9b::a9fe:a9fe", "localhost", "metadata.google.internal"],
)  # fmt: skip
def test_some_places_are_nobodys_even_under_a_grant_of_everything(host: str) -> None:
    """A grant of all addresses, or of the very name, does not reach the relay's own loopback or a metadata service."""
    everything = ("0.0.0.0/0:1-65535", "[::/0]:1-65535")
    with pytest.raises(Denied, match="loopback"):
        require_covered(everything, Address(host=host, port=80))


def test_an_embedded_address_that_is_harmless_is_reached() -> None:
    """An IPv4 address behind NAT64 (RFC 6052) is as good as what it embeds."""
    require_covered(["[64:ff9b::/96]:80"], Address(host="64:ff9b::a00:5", port=80))


def test_destinations_are_each_once_and_bounded() -> None:
    """Equal ones count once; one more than the limit is refused."""
    assert destinations(["10.0.0.5:22", "10.0.0.5/32:22"]) == ("10.0.0.5/32:22",)
    many = [f"10.0.0.5:{port}" for port in range(1, DESTINATIONS_LIMIT + 2)]
    assert len(destinations(many[1:])) == DESTINATIONS_LIMIT
    with pytest.raises(InvalidValue):
        destinations(many)
