"""A start makes sure of what must be there, once, and leaves alone what is there."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import access, network
from catalog.errors import InvalidValue
from catalog.grant_rules import rules
from catalog.model.access import Role, Token
from catalog.model.network import Relay, Site, SiteLink
from catalog.store import rows
from gateway.bootstrap import ADMIN_TOKEN_FILE, OWNER_FILE, bootstrap, owner_id, prepare_state_dir
from gateway.errors import InvalidSettings
from gateway.settings import (
    GatewaySettings,
    HandshakeSettings,
    LinkSettings,
    NetworkSettings,
    RelaySettings,
    Settings,
    SiteSettings,
)
from tests.support.clocks import ManualClock
from tests.support.stores import HOST_KEY, Store, opened_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty database."""
    with opened_store(tmp_path) as opened:
        yield opened


def settings_in(directory: Path, *accept: str) -> Settings:
    """Return settings that declare a site, a relay there, a link to it, and standing rules."""
    return Settings(
        gateway=GatewaySettings(state_dir=directory, site="gw"),
        handshake=HandshakeSettings(accept=accept),
        network=NetworkSettings(
            sites=(SiteSettings(name="fra", region="eu"),),
            relays=(
                RelaySettings(
                    name="fra-1",
                    site="fra",
                    host="192.0.2.1",
                    user="cw",
                    host_key=HOST_KEY,
                    risk=1.5,
                    risk_groups=("acme",),
                ),
            ),
            links=(LinkSettings(source="gw", target="fra", capacity_mbps=940),),
        ),
    )


def start(store: Store, settings: Settings) -> None:
    """Bootstrap."""
    store._runner.run(bootstrap(store.database, settings, store.clock))


def mode(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_start_may_be_repeated(store: Store, tmp_path: Path) -> None:
    """Sites, relay, link, rules and the admin are there once after two starts; what was changed since stays changed."""
    settings = settings_in(tmp_path, "*/*", "mumbai/image", "*/*")
    start(store, settings)
    token = (tmp_path / ADMIN_TOKEN_FILE).read_text()
    store.write(lambda tx: network.update_relay(tx, "fra-1", {"host": "192.0.2.99"}, store.now_s))
    start(store, settings)
    assert {site.name for site in store.read(lambda tx: rows.where(tx, Site))} == {"gw", "fra"}
    [relay] = store.read(lambda tx: rows.where(tx, Relay))
    assert (relay.host, relay.risk, relay.risk_groups) == ("192.0.2.99", 1.5, ["acme"])
    assert [link.capacity_mbps for link in store.read(lambda tx: rows.where(tx, SiteLink))] == [940.0]
    assert [(rule.platform, rule.capability) for rule in store.read(rules)] == [("*", "*"), ("mumbai", "image")]
    assert len(store.read(lambda tx: rows.where(tx, Token, role=Role.ADMIN))) == 1
    assert (tmp_path / ADMIN_TOKEN_FILE).read_text() == token


def test_the_first_admin_can_get_in_and_nobody_else_can_read_how(store: Store, tmp_path: Path) -> None:
    """The token file is for its owner alone, whatever was there before, and holds a token that works."""
    file = tmp_path / ADMIN_TOKEN_FILE
    file.write_text("an old one")
    file.chmod(0o644)
    start(store, settings_in(tmp_path))
    assert mode(file) == 0o600
    found = store.read(lambda tx: access.authenticate(tx, file.read_text().strip(), store.now_s))
    assert found is not None
    assert found.role is Role.ADMIN


@pytest.mark.parametrize("rule", ["*", "/image", "mumbai/", "mumbai/teleport"])
def test_what_is_no_rule_is_refused(store: Store, tmp_path: Path, rule: str) -> None:
    """A misspelt standing rule stops the start, instead of never applying; nothing is written."""
    with pytest.raises(InvalidSettings) as refused:
        start(store, settings_in(tmp_path, "*/image", rule))
    assert (refused.value.field or "").startswith("handshake.accept[1]")
    assert refused.value.fix
    assert store.read(rules) == []
    assert not (tmp_path / ADMIN_TOKEN_FILE).exists()


@pytest.mark.parametrize("wide", [0o750, 0o701, 0o755, 0o777])
def test_a_state_directory_that_others_may_enter_is_refused(tmp_path: Path, wide: int) -> None:
    """A new directory is its owner's alone; one with wider rights is not used, and the message says the command."""
    path = tmp_path / "state" / "deep"
    prepare_state_dir(path)
    prepare_state_dir(path)
    assert mode(path) == 0o700
    path.chmod(wide)
    with pytest.raises(InvalidValue) as refused:
        prepare_state_dir(path)
    assert f"chmod 700 {path}" in str(refused.value.fix)


def test_a_state_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """Where a file is in the way the setting is named, instead of a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(InvalidValue) as refused:
        prepare_state_dir(tmp_path / "file" / "state")
    assert refused.value.field == "gateway.state_dir"


def test_a_gateways_own_mark_stays(tmp_path: Path) -> None:
    """Made at the first start and the same ever after, and another gateway's is another."""
    clock = ManualClock()
    first = owner_id(tmp_path, clock)
    clock.advance(1000)
    assert owner_id(tmp_path, clock) == first
    assert first.startswith("gateway_")
    (tmp_path / "other").mkdir()
    assert owner_id(tmp_path / "other", clock) != first
    assert [path.name for path in (tmp_path / "other").iterdir()] == [OWNER_FILE]
