"""gateway.cli.app: the command line as a whole: it starts fast, every option can be an environment variable."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main
from typer.testing import Result

from gateway.cli.app import app
from tests.support.api_stub import page, playing

HEAVY = (
    *("scapy", "sqlmodel", "sqlalchemy", "libcloud", "networkx", "numpy", "scipy"),
    *("asyncssh", "aiohttp", "rich", "yaml"),
)
# Names of options that may hold a secret's text rather than where it is.
SECRET_WORDS = ("secret", "token", "password", "key")


def commands() -> Iterator[tuple[str, typer.main.TyperCommand]]:
    """Yield every command with the words that run it."""

    def below(group: object, words: tuple[str, ...]) -> Iterator[tuple[str, typer.main.TyperCommand]]:
        for name, command in getattr(group, "commands", {}).items():
            if hasattr(command, "commands"):
                yield from below(command, (*words, name))
            else:
                yield " ".join((*words, name)), command

    return below(typer.main.get_command(app), ())


def loaded_after(*words: str) -> set[str]:
    """Return which heavy packages a fresh process has loaded once ``crossway WORDS…`` is through."""
    program = (
        "import sys\nfrom gateway.__main__ import main\n"
        f"sys.argv = ['crossway', *{list(words)!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.splitlines()[-1].split()) & {*HEAVY, "catalog", "routing", "drivers"}


@pytest.mark.parametrize("words", [("--help",), ("order", "create", "--help"), ("serve", "--help")], ids=" ".join)
def test_help_loads_nothing_heavy(words: tuple[str, ...]) -> None:
    """Help comes up without one of the packages that a server needs."""
    assert loaded_after(*words) == set()


def test_a_list_loads_nothing_heavy() -> None:
    """A command that asks a gateway and prints a table into a pipe loads only the standard library and typer."""
    with playing(page([{"id": "order_1", "state": "placed"}])) as stage:
        assert loaded_after("order", "list", "--server", stage.server) == set()


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=lambda each: each if isinstance(each, str) else "")
def test_every_option_has_a_variable_and_a_help(words: str, command: typer.main.TyperCommand) -> None:
    """Each command says what it does; each option can be set by an environment variable, and the help names it."""
    assert command.help

    context = command.make_context(words, [], resilient_parsing=True, auto_envvar_prefix="CROSSWAY_X")
    with context:
        text = command.get_help(context)
    for option in command.params:
        if option.param_type_name == "option" and option.name != "help":
            assert f"CROSSWAY_X_{option.name.upper()}" in text or (option.envvar and str(option.envvar) in text)


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=lambda each: each if isinstance(each, str) else "")
def test_no_option_takes_a_secret(words: str, command: typer.main.TyperCommand) -> None:
    """A secret's text is never an option's value, where every process list would show it: only a file's name is."""
    for option in command.params:
        opts = {name.lstrip("-") for name in option.opts if name.startswith("--")}
        allowed = {"token-file", "token-out", "secret-file", "enrolment-token-file", "host-key-file", "public-key-file"}
        # No secrets: one makes a repeat harmless, one says that there is none, one names a key pair at the cloud.
        allowed |= {"idempotency-key", "no-token", "key-pair"}
        allowed |= {"password-file", "key-file"}
        # Public keys: of who signed, of who approved, of the gateway that a connector believes.
        allowed |= {"key"} if words in {"audit verify", "grant verify", "connector approve"} else set()
        allowed |= {"gateway-key", "public-key-out"} if words == "connector init" else set()
        assert not {name for name in opts - allowed if any(word in name for word in SECRET_WORDS)}, words


def test_every_noun_has_its_verbs() -> None:
    """The commands that the documentation names are there."""
    known = {words for words, _ in commands()}
    wanted = {
        "platform": "enrol list show approve-endpoint set-secret remove",
        "enrolment": "create",
        "connection": "request list show routes sessions steps consent close reroute",
        "route": "explain whatif",
        "net": "status plot",
        "relay": "add list show enable disable remove",
        "site": "add list remove",
        "link": "add list remove",
        "weights": "show set reset",
        "grant": "list show accept refuse revoke",
        "grant rule": "add list remove",
        "catalog": "entries offers offer",
        "order": "create list show wait events explain cancel",
        "pool": "create list show set remove",
        "machine": "list show start stop reboot rebuild resize rename console destroy give-back",
        "context": "add use list",
        "connector": "serve pending answer",
    }
    assert {f"{noun} {verb}" for noun, verbs in wanted.items() for verb in verbs.split()} <= known
    assert {"serve", "provision", "migrate", "check", "demo", "whoami", "status"} <= known


def test_the_version_is_told(crossway: "typer.main.Callable[..., Result]") -> None:
    """``crossway --version`` says the version that is installed, and nothing more."""
    result = crossway("--version")

    assert (result.exit_code, result.stdout) == (0, f"crossway {version('crossway')}\n")


def test_a_first_connector_file_never_costs_the_key(
    crossway: "typer.main.Callable[..., Result]", tmp_path: Path
) -> None:
    """The public key goes to its file; a second init, refused, and a provider that there is not leave it as it is."""
    config, key = tmp_path / "connector.toml", tmp_path / "connector.pub"
    words = ("connector", "init", "--config", str(config), "--platform", "north", "--gateway-key", "A" * 43 + "=")
    words += ("--grant", "machine", "--public-key-out", str(key))
    misspelt = crossway(*words, "--provider", "ec22")
    assert (misspelt.exit_code, config.exists(), key.exists()) == (2, False, False)
    assert "did you mean ec2?" in misspelt.stderr
    assert crossway(*words, "--provider", "ec2").exit_code == 0
    written = key.read_text()
    assert crossway("connector", "key", "--config", str(config)).stdout == written
    assert crossway(*words, "--provider", "ec2").exit_code == 1
    assert key.read_text() == written


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("order", "create", "offer"), id="missing option"),
        pytest.param(("order", "list", "-o", "xml"), id="unknown format"),
        pytest.param(("order", "list", "--token", "cw_member_x"), id="a token is no argument"),
        pytest.param(("orders",), id="unknown noun"),
        pytest.param(("order", "list", "--server", "gateway"), id="no port"),
        pytest.param(("weights", "set", "loss=much"), id="not a number"),
        pytest.param(("weights", "set", "loss=nan"), id="not a finite number"),
        pytest.param(("pool", "set", "p"), id="nothing to change"),
        pytest.param(("net", "plot"), id="a picture has to go somewhere"),
        pytest.param(("connection", "request", "--profile", "fast"), id="unknown profile"),
        pytest.param(("relay", "set", "r", "--risk", "-1"), id="negative risk"),
        pytest.param(("relay", "set", "r", "--risk-group", "a", "--no-risk-groups"), id="groups and none"),
    ],
)
def test_wrong_usage_exits_2(crossway: "typer.main.Callable[..., Result]", words: tuple[str, ...]) -> None:
    """What is typed wrong is told on stderr with exit code 2; stdout stays empty and nobody is asked."""
    result = crossway(*words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr
