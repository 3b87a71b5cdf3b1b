"""gateway.cli.pairs: name=value arguments."""

import pytest

from gateway.cli.exits import CliError
from gateway.cli.pairs import numbers_of, pairs_of


def test_pairs() -> None:
    """The first equals sign parts name and value; nothing given stays nothing."""
    assert pairs_of(["fra=10.0.0.1:22", "sin=a=b"], "x") == {"fra": "10.0.0.1:22", "sin": "a=b"}
    assert pairs_of(None, "x") is None
    assert numbers_of(["loss=2", "hops=0.5"], "x") == {"loss": 2.0, "hops": 0.5}


@pytest.mark.parametrize(
    ("texts", "told"),
    [(["fra"], "not NAME=VALUE"), (["=1"], "not NAME=VALUE"), (["a="], "not NAME=VALUE"), (["a=1", "a=2"], "twice")],
)
def test_what_is_no_pair_is_named(texts: list[str], told: str) -> None:
    """The error names the option and the text."""
    with pytest.raises(CliError, match=rf"--weight .*{told}"):
        pairs_of(texts, "--weight")
    with pytest.raises(CliError):
        numbers_of(["a=1e999"], "--weight")
