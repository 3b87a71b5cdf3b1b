"""The gateways a user works with, by name, in ``~/.config/crossway/contexts.toml`` (mode 0600: it holds tokens)."""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.exits import CliError, ExitCode

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_OTHERS = 0o077


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One gateway and who one is there."""

    server: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """Every known context and the name of the one in use, if any."""

    known: Mapping[str, Context]
    current: str | None = None

    def named(self, name: str) -> Context:
        """Return a context by name. Raises CliError that names the known ones."""
        if name not in self.known:
            known = ", ".join(sorted(self.known)) or "none yet: crossway context add"
            raise CliError(f"there is no context {name!r}", code=ExitCode.NOT_FOUND, fix=f"known are: {known}")
        return self.known[name]

    @property
    def in_use(self) -> Context | None:
        """The context in use, None when none was chosen."""
        return None if self.current is None else self.named(self.current)


def contexts_path() -> Path:
    """Return where the contexts are kept: CROSSWAY_CONTEXTS, else below XDG_CONFIG_HOME or ~/.config."""
    if chosen := os.environ.get("CROSSWAY_CONTEXTS"):
        return Path(chosen)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "crossway" / "contexts.toml"


def load(path: Path) -> Contexts:
    """Return what ``path`` holds; nothing when it does not exist.

    Raises CliError when others may read it: then its tokens are theirs too.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise CliError(f"others may read {path}, which holds tokens", fix=f"chmod 600 {path}")
            document = tomllib.load(file)
        return _contexts_of(document)
    except FileNotFoundError:
        return Contexts(known={})
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read {path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise CliError(f"{path} is not a contexts file", fix="move it away and add the contexts again") from error


def save(path: Path, contexts: Contexts) -> None:
    """Write ``contexts`` to ``path`` at once or not at all, readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(_toml_of(contexts))
    fresh.replace(path)


def checked_name(name: str) -> str:
    """Return ``name`` if a context may be called so. Raises CliError."""
    if not _NAME.fullmatch(name):
        raise CliError(f"{name!r} cannot name a context", fix="use letters, digits, dots, dashes and underscores")
    return name


def _contexts_of(document: Mapping[str, Any]) -> Contexts:
    known = {
        str(name): Context(server=str(each["server"]), token=each.get("token"))
        for name, each in document.get("contexts", {}).items()
    }
    current = document.get("current")
    return Contexts(known=known, current=current if isinstance(current, str) else None)


def _toml_of(contexts: Contexts) -> str:
    # A JSON string is a TOML basic string: same quotes, same escapes.
    lines = [] if contexts.current is None else [f"current = {json.dumps(contexts.current)}"]
    for name, each in sorted(contexts.known.items()):
        lines += ["", f"[contexts.{json.dumps(name)}]", f"server = {json.dumps(each.server)}"]
        if each.token is not None:
            lines.append(f"token = {json.dumps(each.token)}")
    return "\n".join(lines) + "\n"
