"""The wheel holds the four packages, what they need at run time, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel and return the names in it."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = out.glob("crossway-*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_exactly_our_packages(names: set[str]) -> None:
    """Four import packages and the metadata; no tests, no config, no stray top-level name."""
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"gateway", "routing", "catalog", "drivers"}


def test_the_wheel_holds_the_migrations_and_the_licence(names: set[str]) -> None:
    """What the program reads at run time is shipped."""
    assert any(name.startswith("catalog/store/migrations/versions/") and name.endswith(".py") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
