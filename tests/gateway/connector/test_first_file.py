"""The connector's first settings file: what is written can be read, and says what was asked for and nothing more."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.errors import AlreadyExists, InvalidValue
from catalog.messages.handshake import Capability
from gateway.connector.first_file import FirstFile, write
from gateway.connector.policy import Verdict
from gateway.connector.settings import read_settings

PROVIDERS = ("ec2", "openstack")
FIRST = FirstFile(
    platform="north", provider="openstack", region='Region "One"', gateway_key="A" * 43 + "=", listen="127.0.0.1:8790",
    granted=("machine", "image"), asked=("key-pair",),
)  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """The policy decides as was said, and denies all that was not; the file is its owner's alone."""
    path = tmp_path / "connector.toml"
    write(path, FIRST, PROVIDERS)
    settings = read_settings(path)
    assert (settings.platform, settings.listen, settings.gateway_key) == ("north", "127.0.0.1:8790", FIRST.gateway_key)
    assert (settings.policy.service.provider, settings.policy.service.region) == ("openstack", 'Region "One"')
    assert {capability: rule.verdict for capability, rule in settings.policy.rules.items()} == {
        Capability.MACHINE: Verdict.GRANT,
        Capability.IMAGE: Verdict.GRANT,
        Capability.KEY_PAIR: Verdict.ASK,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    """An owner's policy is never overwritten."""
    path = tmp_path / "connector.toml"
    path.write_text("mine")
    with pytest.raises(AlreadyExists):
        write(path, FIRST, PROVIDERS)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "wrong",
    [
        replace(FIRST, gateway_key="short"),
        replace(FIRST, granted=("moon",)),
        replace(FIRST, granted=("machine", "machine")),
        replace(FIRST, asked=("machine",)),
        replace(FIRST, listen="nowhere"),
        replace(FIRST, provider="ec22"),
    ],
    ids=["no key", "no capability", "granted twice", "granted and asked", "no address", "no provider"],
)
def test_what_could_not_be_read_back_leaves_no_file(tmp_path: Path, wrong: FirstFile) -> None:
    """A wrong word is told at once, and the next try finds the place free."""
    path = tmp_path / "connector.toml"
    with pytest.raises(InvalidValue):
        write(path, wrong, PROVIDERS)
    assert not path.exists()


def test_a_misspelt_provider_is_told_the_likeliest(tmp_path: Path) -> None:
    """Whoever types ec22 learns of ec2."""
    with pytest.raises(InvalidValue) as caught:
        write(tmp_path / "connector.toml", replace(FIRST, provider="ec22"), PROVIDERS)
    assert (caught.value.field, caught.value.fix) == ("provider", "did you mean ec2?")
