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
        pytest.param("[api]\nlisen = 'x'\n", "api.lisen: there is no such setting", id="misspelt"),
        pytest.param("[apis]\n", "apis: there is no such setting", id="unknown section"),
        pytest.param("[probe]\ntimeout_ms = '1500 ms'\n", "probe.timeout_ms", id="unit in the value"),
        pytest.param("[probe]\ntimeout_s = 1.5\n", "probe.timeout_s: there is no such setting", id="wrong unit"),
        pytest.param("[routing.weights]\nloss = -1\n", "routing.weights.loss", id="negative weight"),
        pytest.param("[[network.relays]]\nname = 'a'\n", "network.relays.0.host_key", id="no host key"),
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
    path.write_text("[probe]\nsamples_count = 3\n")
    monkeypatch.setenv("CROSSWAY_PROBE__SAMPLES_COUNT", "7")
    assert load(path).probe.samples_count == 7
    monkeypatch.setenv("CROSSWAY_PROBE__SAMPLES_COUNT", "many")
    with pytest.raises(InvalidSettings, match="CROSSWAY_PROBE__SAMPLES_COUNT"):
        load(path)
