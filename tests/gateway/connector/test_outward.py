"""What the connector's file says about going out: as values, and every mistake with what would be right."""

from pathlib import Path

import pytest

from catalog.errors import InvalidValue
from catalog.ports import Address
from gateway.connector.outward import Join, Outward
from gateway.connector.settings import read_settings
from tests.support.platform_links import write_config
from tests.support.stores import HOST_KEY

GATEWAY = '[gateway]\nurl = "https://gateway.example.net"\n'
RELAY = (
    f'[[dial_out.relays]]\nname = "fra-1"\nhost = "relay.example.net"\nuser = "connector"\nhost_key = "{HOST_KEY}"\n'
)
DIAL = f'[dial_out]\nkey_file = "dial.key"\napi = "10.0.0.2:443"\ndestinations = ["10.0.0.5:22"]\n{RELAY}'
JOIN = '[[join]]\nlisten = "127.0.0.1:15432"\nplatform = "south"\nto = "db.south.internal:5432"\n'


def test_a_file_without_it_goes_nowhere(tmp_path: Path) -> None:
    """Neither table is needed."""
    assert read_settings(write_config(tmp_path, "")).outward == Outward()


def test_everything_is_read(tmp_path: Path) -> None:
    """The connector itself is always brought along; paths are the file's, the host key is in one form."""
    outward = read_settings(write_config(tmp_path, GATEWAY + DIAL + JOIN)).outward
    assert outward.gateway is not None
    assert str(outward.gateway.server) == "https://gateway.example.net:443"
    assert outward.dial_out is not None
    assert outward.dial_out.key_file == tmp_path / "dial.key"
    (relay,) = outward.dial_out.relays
    assert (relay.name, relay.address, relay.host_key) == (
        "fra-1",
        Address(host="relay.example.net", port=22),
        HOST_KEY,
    )
    assert set(outward.dial_out.targets) == {"connector", "api", "10.0.0.5:22"}
    assert outward.dial_out.targets["api"] == Address(host="10.0.0.2", port=443)
    to = Address(host="db.south.internal", port=5432)
    assert outward.joins == (Join(listen=Address(host="127.0.0.1", port=15_432), platform="south", to=to),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(DIAL, "gateway: is missing", id="nobody to tell"),
        pytest.param(JOIN, "gateway: is missing", id="nobody to ask"),
        pytest.param(GATEWAY + '[dial_out]\nkey_file = "k"', "dial_out.relays: is missing", id="no relay"),
        pytest.param(GATEWAY + DIAL + RELAY, "a name stands twice", id="a relay twice"),
        pytest.param(GATEWAY + DIAL.replace("ssh-ed25519", "ssh-rot13"), "host_key", id="no host key"),
        pytest.param(GATEWAY + DIAL.replace("10.0.0.2:443", "10.0.0.2"), "dial_out.api", id="no port"),
        pytest.param(GATEWAY + JOIN.replace('"127.0.0.1:15432"', '"15432"'), "join.0.listen", id="no host"),
        pytest.param(GATEWAY + 'ca = "x"', "gateway.ca: there is no such key", id="unknown key"),
        pytest.param('[gateway]\nurl = "ftp://x"', "gateway.url", id="no such scheme"),
        pytest.param(GATEWAY + 'ca_file = "missing.pem"', "gateway.ca_file: cannot be read", id="no authority"),
    ],
)
def test_mistakes_are_told_with_their_key(tmp_path: Path, text: str, told: str) -> None:
    """Each is an InvalidValue that says where and what."""
    with pytest.raises(InvalidValue) as refused:
        read_settings(write_config(tmp_path, text))
    assert told in str(refused.value)
