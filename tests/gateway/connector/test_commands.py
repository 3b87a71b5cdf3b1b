"""What the platform's owner types, and what is told back."""

import asyncio
from pathlib import Path

import pytest

from catalog.errors import InvalidValue
from gateway.connector import answer, list_pending, main, public_key
from tests.support.clocks import ManualClock
from tests.support.platform_links import GATEWAY, linked, request, write_config
from tests.support.stores import HOST_KEY


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A connector that was asked once: image waits for the owner."""
    path = write_config(tmp_path)

    async def asked() -> None:
        async with linked(path, ManualClock()) as link:
            await link.authorize(request())

    asyncio.run(asked())
    return path


@pytest.mark.parametrize("order", ["before", "after", "between"])
def test_pending_and_answer(config: Path, capsys: pytest.CaptureFixture[str], order: str) -> None:
    """The owner sees what waits, answers, and sees the answer; --config may stand anywhere."""
    given = ["--config", str(config)]

    def run(*words: str) -> int:
        orders = {
            "before": [*given, *words],
            "after": [*words, *given],
            "between": [
                words[0],
                *given,
                *(["--"] if words[1:] else []),
                *words[1:],
            ],  # so that no word is taken for an option
        }
        return main(orders[order])

    assert run("pending") == 0
    assert capsys.readouterr().out == f"grant_1  image  list  {GATEWAY}  waits for you\n"
    assert run("answer", "grant_1", "image", "grant") == 0
    assert run("pending") == 0
    assert "answered: grant" in capsys.readouterr().out
    assert [item.answered for item in list_pending(config)] == ["grant"]


def test_key_prints_what_the_enrolment_wants(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed key is the one that answers are signed with, and never the private one."""
    assert main(["key", "--config", str(config)]) == 0
    assert capsys.readouterr().out.strip() == public_key(config)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(["answer", "grant_9", "image", "grant"], 1, "no such request", id="unknown request"),
        pytest.param(["answer", "grant_1", "volume", "deny"], 1, "the request asks only for image", id="capability"),
        pytest.param(["answer", "grant_1", "machine", "deny"], 1, "already decided", id="too late"),
    ],
)
def test_what_cannot_be_answered(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, told: str
) -> None:
    """The exit code says that nothing was done, and the text why."""
    assert main([*words, "--config", str(config)]) == code
    assert told in capsys.readouterr().err


def test_a_broken_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in the file is exit code 2 and its key on stderr, for every command."""
    config = write_config(tmp_path, '[policy.machine]\ndecision = "perhaps"')
    for command in ("serve", "pending", "key"):
        assert main([command, "--config", str(config)]) == 2
        assert "policy.machine.decision" in capsys.readouterr().err


def test_a_readable_key_is_told_with_its_fix(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that mends the mode is printed."""
    key = config.with_name("platform.key")
    key.chmod(0o644)
    assert main(["serve", "--config", str(config)]) == 2
    assert f"chmod 600 {key}" in capsys.readouterr().err


def test_a_readable_dial_key_is_told_with_its_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key by which the connector dials out is looked at like the platform's, before anything begins."""
    relay = f'[[dial_out.relays]]\nname = "one"\nhost = "192.0.2.1"\nuser = "u"\nhost_key = "{HOST_KEY}"'
    gateway = '[gateway]\nurl = "https://gateway.example.net"'
    config = write_config(tmp_path, f'{gateway}\n[dial_out]\nkey_file = "dial.key"\n{relay}')
    assert main(["dial-key", "--config", str(config)]) == 0
    key = tmp_path / "dial.key"
    key.chmod(0o644)
    for command in ("dial-key", "serve"):
        assert main([command, "--config", str(config)]) == 2
        assert f"chmod 600 {key}" in capsys.readouterr().err


def test_another_word_than_grant_or_deny_is_refused(config: Path) -> None:
    """A rule may say ask; an answer may not."""
    with pytest.raises(InvalidValue):
        answer(config, "grant_1", "image", "ask")


def test_config_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --config the usage error says so."""
    with pytest.raises(SystemExit) as caught:
        main(["pending"])
    assert caught.value.code == 2
    assert "--config is needed" in capsys.readouterr().err
