"""gateway.client.address: what names a place where a gateway listens."""

import pytest

from gateway.client.address import AddressInvalid, ServerAddress, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("http://127.0.0.1:8780", "http://127.0.0.1:8780", id="http"),
        pytest.param("127.0.0.1:8780", "http://127.0.0.1:8780", id="scheme left out"),
        pytest.param("http://[::1]:8780/", "http://[::1]:8780", id="IPv6 and a bare slash"),
        pytest.param("https://cloud.example", "https://cloud.example:443", id="https has a port of its own"),
        pytest.param("unix:/run/crossway/api.sock", "unix:/run/crossway/api.sock", id="socket"),
    ],
)
def test_addresses_read_back_as_written(text: str, expected: str) -> None:
    """An address prints in its full form, which parses to the same address again."""
    address = parse_address(text)

    assert str(address) == expected
    assert parse_address(str(address)) == address
    assert address.origin == (expected if address.kind != "unix" else "http://localhost")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("http://gateway", "needs a port", id="no port"),
        pytest.param("ftp://gateway:21", "ftp://", id="other scheme"),
        pytest.param("http://user@gateway:8780", "no user", id="user"),
        pytest.param("http://gateway:8780/v1", "after the port", id="path"),
        pytest.param("http://gateway:99999", "not an address", id="port out of range"),
        pytest.param("unix:api.sock", "absolute path", id="relative socket"),
        pytest.param("", "needs a host", id="empty"),
    ],
)
def test_what_is_no_address_is_refused(text: str, told: str) -> None:
    """A wrong address is refused with a text that says what would be right."""
    with pytest.raises(AddressInvalid, match=told):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:1", True), ("http://localhost:1", True), ("unix:/s", True), ("http://10.0.0.1:1", False)],
)
def test_only_loopback_and_sockets_are_local(text: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """An address is local only when nobody else can read along."""
    assert parse_address(text).is_local is expected


def test_a_path_means_a_socket() -> None:
    """The address of a socket carries its path and no port."""
    assert parse_address("unix:///run/api.sock") == ServerAddress(kind="unix", path="/run/api.sock")
