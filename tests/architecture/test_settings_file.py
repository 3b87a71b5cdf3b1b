"""``config/crossway.toml`` lists every setting with its default, and nothing else."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InvalidSettings
from gateway.settings import Settings, load

FILE = Path(__file__).parents[2] / "config" / "crossway.toml"


def defaults() -> dict[str, Any]:
    """Return the defaults of every setting, as TOML would give them; absent ones are left out."""
    return Settings().model_dump(mode="json", exclude_none=True)


def test_the_file_holds_every_default() -> None:
    """A setting that is added, renamed or given another default in the code must be changed in the file too."""
    written = tomllib.loads(FILE.read_text())
    assert written == defaults()


def test_every_setting_is_explained() -> None:
    """Every line that sets something carries or follows a comment."""
    lines = FILE.read_text().splitlines()
    unexplained = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if "=" in line and not line.startswith("#") and "#" not in line and not before.startswith("#")
    ]
    assert unexplained == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            "[api]\nlisen = 'x'\n", "api.lisen: there is no such setting (did you mean listen?)", id="misspelt"
        ),
        pytest.param("[apis]\n", "apis: there is no such setting", id="unknown section"),
        pytest.param("[probe]\ntimeout_ms = '1500 ms'\n", "probe.timeout_ms", id="unit in the value"),
        pytest.param(
            "[probe]\ntimeout_s = 1.5\n",
            "probe.timeout_s: there is no such setting (did you mean timeout_ms?)",
            id="wrong unit",
        ),
        pytest.param("[apy]\n", "apy: there is no such setting (did you mean api?)", id="misspelt section"),
        pytest.param(
            "[[network.sites]]\nname = 'a'\nlatitud = 1.0\n",
            "network.sites[0].latitud: there is no such setting (did you mean latitude?)",
            id="misspelt in a list",
        ),
        pytest.param("[routing.weights]\nloss = -1\n", "routing.weights.loss", id="negative weight"),
        pytest.param("[api]\ntrusted_proxies = ['10.0.0.1/8']\n", "api.trusted_proxies[0]", id="no network"),
        pytest.param("[[network.relays]]\nname = 'a'\n", "network.relays[0].host_key", id="no host key"),
        pytest.param("api = [\n", "is not valid TOML", id="not TOML"),
    ],
)
def test_bad_settings_are_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    """An unknown key, a wrong unit or type, or a missing value is refused, naming the key and the file."""
    path = tmp_path / "crossway.toml"
    path.write_text(text)
    with pytest.raises(InvalidSettings) as refused:
        load(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CROSSWAY_SECTION__NAME wins over the file, and a bad value names the variable."""
    path = tmp_path / "crossway.toml"
    path.write_text("[probe]\nturns_count = 3\n")
    monkeypatch.setenv("CROSSWAY_PROBE__TURNS_COUNT", "7")
    assert load(path).probe.turns_count == 7
    monkeypatch.setenv("CROSSWAY_PROBE__TURNS_COUNT", "many")
    with pytest.raises(InvalidSettings, match="CROSSWAY_PROBE__TURNS_COUNT"):
        load(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CROSSWAY_APIS__LISTEN", "did you mean CROSSWAY_API__LISTEN?"),
        ("CROSSWAY_API__LISEN", "did you mean CROSSWAY_API__LISTEN?"),
        ("crossway_routing__weights__los", "did you mean CROSSWAY_ROUTING__WEIGHTS__LOSS?"),
        ("CROSSWAY_API__LISTEN__PORT", "names no setting"),
    ],
)
def test_a_variable_that_only_looks_like_a_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    """A misspelt table in a variable's name would otherwise be ignored; the error names variable and neighbour."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(InvalidSettings) as refused:
        load(None)
    assert name in str(refused.value)
    assert said in str(refused.value)


def test_the_command_line_s_variables_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables without a double underscore, and empty ones, are left to whom they belong."""
    for name in ("SERVER", "TOKEN", "OUTPUT", "CONFIG", "CONNECTOR_CONFIG", "ORDER_CREATE_SIZE"):
        monkeypatch.setenv(f"CROSSWAY_{name}", "x")
    monkeypatch.setenv("CROSSWAY_APIS__LISTEN", "")
    assert load(None).model_dump() == Settings().model_dump()


def test_a_list_in_a_variable_that_is_not_json_is_refused_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message speaks of the environment and shows the form, not of a TOML file that there is not."""
    monkeypatch.setenv("CROSSWAY_HANDSHAKE__ACCEPT", "*/size")
    with pytest.raises(InvalidSettings, match="environment variable") as refused:
        load(None)
    assert "JSON" in str(refused.value.fix)
    monkeypatch.setenv("CROSSWAY_HANDSHAKE__ACCEPT", '["*/size"]')
    assert load(None).handshake.accept == ("*/size",)
