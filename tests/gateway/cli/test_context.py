"""gateway.cli.context: naming the gateways one works with."""

import json
import stat
from pathlib import Path

from tests.gateway.cli.conftest import Crossway
from tests.support.api_stub import Played, playing


def test_a_gateway_is_added_used_and_forgotten(crossway: Crossway, tmp_path: Path) -> None:
    """The first gateway is in use at once; use switches; tokens are kept but never listed."""
    crossway("context", "add", "demo", "--server", "127.0.0.1:8780", "--token-file", "-", stdin="cw_admin_demo\n")
    crossway("context", "add", "prod", "--server", "unix:/run/api.sock", "--no-token")
    assert crossway("context", "use", "prod").exit_code == 0
    listed = crossway("context", "list", "-o", "json")

    assert json.loads(listed.stdout) == [
        {"name": "demo", "server": "http://127.0.0.1:8780", "token": True, "in_use": False},
        {"name": "prod", "server": "unix:/run/api.sock", "token": False, "in_use": True},
    ]
    assert "cw_admin_demo" in (tmp_path / "contexts.toml").read_text()
    assert stat.S_IMODE((tmp_path / "contexts.toml").stat().st_mode) == 0o600

    crossway("context", "remove", "prod")
    assert [each["in_use"] for each in json.loads(crossway("context", "list", "-o", "json").stdout)] == [False]


def test_a_command_goes_to_the_context(crossway: Crossway) -> None:
    """What --context names decides server and token; without it the one in use does."""
    answer = Played(body={"role": "member", "name": "t"})
    with playing(answer) as first, playing(answer) as second:
        for name, stage in (("one", first), ("two", second)):
            words = ("context", "add", name, "--server", stage.server, "--token-file", "-")
            crossway(*words, stdin=f"cw_member_{name}")
        crossway("whoami")
        crossway("whoami", "--context", "two")

    assert first.asked[0].headers["authorization"] == "Bearer cw_member_one"
    assert second.asked[0].headers["authorization"] == "Bearer cw_member_two"


def test_wrong_contexts_are_told(crossway: Crossway) -> None:
    """An unknown name exits 3, a wrong address or name 2; nothing is kept."""
    assert crossway("context", "use", "nowhere").exit_code == 3
    assert crossway("whoami", "--context", "nowhere").exit_code == 3
    assert crossway("context", "add", "a b", "--server", "127.0.0.1:1", "--no-token").exit_code == 2
    assert crossway("context", "add", "x", "--server", "gateway", "--no-token").exit_code == 2
    assert crossway("context", "add", "x", "--server", "127.0.0.1:1").exit_code == 2  # nobody is there to be asked
    assert json.loads(crossway("context", "list", "-o", "json").stdout) == []
