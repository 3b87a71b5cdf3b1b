"""The key file: private, strict, and never lost by a rotation."""

import base64
import os
from pathlib import Path

import pytest

from catalog.errors import InvalidValue, SealBroken
from drivers.keys.file import FileKeys

LINE = f"k1 {base64.b64encode(b'1' * 32).decode()}\n"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a key file by hand."""
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_the_first_start_makes_a_private_file_and_the_second_reads_it(tmp_path: Path) -> None:
    """The file is readable by its owner alone whatever the umask, holds one key, and reads the same again."""
    path = tmp_path / "deep" / "keys"
    mask = os.umask(0)
    try:
        first = FileKeys.load_or_create(path)
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first.current()[1]) == 32
    assert FileKeys.load_or_create(path).current() == first.current()
    assert [entry.name for entry in path.parent.iterdir()] == ["keys"]


def test_the_newest_key_is_current_and_older_ones_stay(tmp_path: Path) -> None:
    """After two rotations the last key is current, here and for the next reader, and all three are known."""
    keys = FileKeys.load_or_create(tmp_path / "keys")
    first = keys.current()
    second, third = keys.rotate(), keys.rotate()
    again = FileKeys(tmp_path / "keys")
    assert keys.current()[0] == again.current()[0] == third
    assert len({again.by_id(first[0]), again.by_id(second), again.by_id(third)}) == 3
    assert again.by_id(first[0]) == first[1]
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_an_unknown_key_is_a_broken_seal(tmp_path: Path) -> None:
    """A key that the file does not hold is named in the error, so that an operator can bring it back."""
    with pytest.raises(SealBroken) as refused:
        FileKeys.load_or_create(tmp_path / "keys").by_id("k9")
    assert "k9" in str(refused.value.fix)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others makes the file worthless, and the error says how to repair it."""
    with pytest.raises(InvalidValue) as refused:
        FileKeys(written(tmp_path / "keys", LINE, mode))
    assert "chmod 600" in str(refused.value.fix)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "# only a comment\n", "k1\n", "k1 AAAA\n", f"bad/id {LINE[3:]}", LINE + LINE, "k1 canary!\n", "é é\n"],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    """No key, a bad line, or one id twice is an InvalidValue that repeats nothing of the file."""
    with pytest.raises(InvalidValue) as refused:
        FileKeys(written(tmp_path / "keys", text))
    assert "canary" not in f"{refused.value} {refused.value.detail} {refused.value.fix}"


def test_a_link_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """A symbolic link is not followed, and a missing file is not made by reading."""
    written(tmp_path / "elsewhere", LINE)
    (tmp_path / "keys").symlink_to(tmp_path / "elsewhere")
    for name in ("keys", "missing"):
        with pytest.raises(InvalidValue, match="cannot be opened"):
            FileKeys(tmp_path / name)


def test_the_keys_do_not_show(tmp_path: Path) -> None:
    """A printed provider tells where its keys are, not what they are."""
    keys = FileKeys(written(tmp_path / "keys", LINE))
    assert "1111" not in repr(keys)
    assert "MTEx" not in repr(keys)
