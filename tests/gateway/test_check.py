"""``crossway check`` finds what a start would refuse, and leaves everything as it was."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from catalog.model.ids import CredentialId, PlatformId, SiteId
from catalog.model.network import Site
from catalog.model.platform import Platform, SealedCredential
from catalog.store import rows
from catalog.store.database import Database, Tx, is_open_elsewhere, rehearse, shown
from gateway import programs
from gateway.bootstrap import prepare_state_dir
from gateway.check import check_all
from gateway.clock import SystemClock
from gateway.programs import FAILED
from gateway.settings import load
from tests.support.postgresql import PostgresqlServer
from tests.support.stores import HOST_KEY

RELAY = '[[network.relays]]\nname = "fra-1"\nsite = "gateway"\nhost = "192.0.2.1"\nuser = "relay"\nhost_key = '


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a settings file whose state directory is in ``tmp_path``."""
    path = tmp_path / "crossway.toml"
    path.write_text(f'[gateway]\nstate_dir = "{tmp_path}/state"\n')
    return path


def findings(config: Path) -> dict[str, dict[str, Any]]:
    """Return what is found, by the name of the check."""
    return {str(each["check"]): each for each in asyncio.run(check_all(load(config)))}


def with_database(config: Path, work: Callable[[Tx], object], then: Callable[[], object] = lambda: None) -> None:
    """Do ``work`` in the database of ``config``, and ``then`` while this process still has it open."""

    async def story() -> None:
        async with Database.open(load(config).database_url, clock=SystemClock()) as database:
            await database.write(work)
            await asyncio.get_running_loop().run_in_executor(None, then)

    prepare_state_dir(load(config).gateway.state_dir)
    asyncio.run(story())


def files(directory: Path) -> dict[str, bytes]:
    """Return every file below ``directory`` with its content."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_check_creates_nothing(config: Path, tmp_path: Path) -> None:
    """Neither before the first start nor on the state of a stopped gateway is one file made or changed."""
    before = files(tmp_path)
    assert all(each["ok"] for each in findings(config).values())
    assert (files(tmp_path), (tmp_path / "state").exists()) == (before, False)
    with_database(config, lambda _tx: None)
    before = files(tmp_path)
    assert all(each["ok"] for each in findings(config).values())
    assert files(tmp_path) == before


def test_a_running_gateway_is_no_fault(config: Path) -> None:
    """While another has the database open the check goes well and says so, and sees what was just committed."""

    def look() -> None:
        told = findings(config)
        assert all(each["ok"] for each in told.values())
        assert told["database"]["detail"] == "in use by a running gateway"
        url = load(config).database_url
        assert rehearse(url, lambda tx: rows.first(tx, Site, name="fra")) is not None

    with_database(config, lambda tx: rows.insert(tx, Site(id=SiteId("site_1"), name="fra"), 1.0), look)
    assert not is_open_elsewhere(load(config).database_url)
    assert "detail" not in findings(config)["database"]


def test_records_on_a_server_are_looked_for(config: Path, postgresql_server: PostgresqlServer) -> None:
    """The provisioner's server is asked, and nothing made there; one that is not there is named by its setting."""
    with postgresql_server.fresh() as url:
        config.write_text(f'{config.read_text()}\n[provision]\ndatabase_url = "{url}"\n')
        assert findings(config)["records"] == {"check": "records", "ok": True, "url": shown(url)}
        with psycopg.connect(url) as admin:
            assert not admin.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'provisioner'").fetchall()
    told = findings(config)["records"]
    assert (told["ok"], told["field"]) == (False, "provision.database_url")


def test_a_rehearsal_leaves_no_trace(config: Path) -> None:
    """What is written in a rehearsal is seen by it and by nobody after it."""
    with_database(config, lambda _tx: None)
    url = load(config).database_url

    def work(tx: Tx) -> int:
        rows.insert(tx, Site(id=SiteId("site_1"), name="fra"), 1.0)
        return len(rows.where(tx, Site))

    assert [rehearse(url, work) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    ("more", "check", "field", "fix"),
    [
        (RELAY + '"nonsense"\n', "network", "network.relays[0].host_key", "ssh-ed25519"),
        ('[[network.sites]]\nname = "Frankfurt am Main"\n', "network", "network.sites[0].name", "a-z"),
        ('[[network.links]]\nsource = "gateway"\ntarget = "moon"\n', "network", "network.links[0].target", "exists"),
        ('[handshake]\naccept = ["*/image", "*/machin"]\n', "network", "handshake.accept[1]", "*/machine"),
        ('[handshake]\naccept = ["North Cloud/image"]\n', "network", "handshake.accept[0]", "a-z"),
        ('[api]\nlisten = "8780"\n', "api.listen", "api.listen", "127.0.0.1:8780"),
    ],
)
def test_what_a_start_would_refuse_is_found(  # noqa: PLR0917 one column of the table each
    config: Path, capsys: pytest.CaptureFixture[str], more: str, check: str, field: str, fix: str
) -> None:
    """One finding is bad, names the setting down to its index and says what is right; the exit code is 1."""
    config.write_text(config.read_text() + more)
    assert programs.check(config) == FAILED
    [bad] = [each for each in map(json.loads, capsys.readouterr().out.splitlines()) if not each["ok"]]
    assert (bad["check"], bad["field"]) == (check, field)
    assert fix in bad["fix"]
    if check == "network":
        assert str(config) in bad["detail"]


def test_a_relay_without_links_is_said_and_no_fault(config: Path) -> None:
    """Before the first start there is no key to log in with; a relay that no link leads to is named."""
    sites = '[[network.sites]]\nname = "fra"\n' + RELAY.replace('"gateway"', '"fra"')
    config.write_text(config.read_text() + sites + f'"{HOST_KEY}"\n')
    told = findings(config)
    assert told["network"]["detail"].endswith("to fra-1")
    assert told["relay fra-1"]["ok"]
    assert "no SSH key yet" in told["relay fra-1"]["detail"]


def test_a_lost_sealing_key_is_found_before_a_start_makes_another(config: Path) -> None:
    """Credentials without the file of keys that they are sealed with are a fault, not a first start."""

    def seal(tx: Tx) -> None:
        site, platform = SiteId("site_1"), PlatformId("platform_1")
        rows.insert(tx, Site(id=site, name="fra"), 1.0)
        rows.insert(tx, Platform(id=platform, name="m", provider="ec2", site_id=site, account="a"), 1.0)
        held = SealedCredential(id=CredentialId("c"), platform_id=platform, key_id="k1", sealed="x")
        rows.insert(tx, held, 1.0)

    with_database(config, seal)
    told = findings(config)["keys"]
    assert not told["ok"]
    assert "sealing.keys" in told["fix"]
