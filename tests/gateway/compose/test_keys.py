"""The gateway's own keys: made once, and refused when anybody else can read them."""

from pathlib import Path

import pytest

from catalog.errors import InvalidValue
from gateway.compose.keys import Keys


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Each of the three key files must be its owner's alone."""
    first = Keys.load(tmp_path)
    assert Keys.load(tmp_path).ssh.public() == first.ssh.public()
    for file in sorted(tmp_path.iterdir()):
        file.chmod(0o644)
        with pytest.raises(InvalidValue):
            Keys.load(tmp_path)
        file.chmod(0o600)
