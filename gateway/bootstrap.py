"""What a start makes sure of: state directory, the first admin token, the network and rules that settings declare."""

import difflib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog import naming
from catalog.errors import AlreadyExists, CatalogError, InvalidValue
from catalog.grant_rules import ANY, rules
from catalog.messages.handshake import Capability
from catalog.model.access import Role, Token
from catalog.model.consent import GrantRule
from catalog.model.ids import new_id
from catalog.model.network import Relay, Site
from catalog.network import add_link, add_relay, add_site
from catalog.ports import Clock
from catalog.store.database import Database, Tx
from catalog.store.rows import first, insert
from catalog.tokens import issue_token
from gateway.errors import InvalidSettings
from gateway.settings import Settings

log = logging.getLogger(__name__)

ADMIN_TOKEN_FILE = "admin.token"  # noqa: S105  # a file name
SIGNING_KEY_FILE = "signing_key.pem"
SEALING_KEYS_FILE = "sealing.keys"
OWNER_FILE = "gateway.id"


def prepare_state_dir(path: Path) -> None:
    """Make the state directory, readable by its owner alone.

    Raises InvalidValue when others may read it, or when there can be no directory at ``path``.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(
            f"the state directory {path} cannot be made: {error.strerror}",
            field="gateway.state_dir",
            fix="set it to a directory of this user's own",
        ) from error
    if path.stat().st_mode & 0o077:
        raise InvalidValue(
            f"others may read the state directory {path}", field="gateway.state_dir", fix=f"run: chmod 700 {path}"
        )


def owner_id(state_dir: Path, clock: Clock) -> str:
    """Return this gateway's own id, made at the first start: the mark on every machine it makes.

    Not the name: two gateways of one name may share a cloud account, and neither may touch the other's machines.
    """
    path = state_dir / OWNER_FILE
    if not path.exists():
        # Whole or not at all: an empty mark would be the same at every gateway, and a second one disowns machines.
        draft = path.with_suffix(".draft")
        _write_private(draft, new_id("gateway", clock.now_s()))
        draft.replace(path)
    return path.read_text(encoding="ascii").strip()


async def bootstrap(database: Database, settings: Settings, clock: Clock) -> None:
    """Write what is missing. May be repeated: what exists is left as it is, however it was changed since.

    Raises InvalidSettings naming the setting, down to the index in its list, and the file.
    """
    now_s = clock.now_s()
    await database.write(lambda tx: declare(tx, settings, now_s))
    await _first_admin(database, settings.gateway.state_dir / ADMIN_TOKEN_FILE, now_s)


def declare(tx: Tx, settings: Settings, now_s: float) -> None:
    """Write the network and the standing rules that ``settings`` declare, as far as they are missing.

    Raises InvalidSettings, as ``bootstrap`` does.
    """
    _declare_network(tx, settings, now_s)
    known = {(rule.platform, rule.capability) for rule in rules(tx)}
    declared = [_rule(settings, number, text) for number, text in enumerate(settings.handshake.accept)]
    # dict.fromkeys: a rule that stands twice in the file is one rule.
    for platform, capability in dict.fromkeys(declared):
        if (platform, capability) not in known:
            # Not add_rule, which insists that the platform exists: a settings file may be ahead of enrolments.
            insert(tx, GrantRule(platform=platform, capability=capability), now_s)


def _rule(settings: Settings, number: int, text: str) -> tuple[str, str]:
    platform, _, capability = text.partition("/")
    choices = [ANY, *Capability]
    with _at(settings, f"handshake.accept[{number}]"):
        if capability not in choices:
            near = difflib.get_close_matches(capability, choices, n=1)
            meant = f'did you mean "{platform}/{near[0]}"?' if near else 'write "PLATFORM/CAPABILITY" or "*/*"'
            fix = f"{meant} The capabilities are {', '.join(Capability)}"
            raise InvalidValue(f"{text!r} is not a standing rule", fix=fix)
        return platform if platform == ANY else naming.name(platform, field=""), capability


def _declare_network(tx: Tx, settings: Settings, now_s: float) -> None:
    network = settings.network
    for number, site in enumerate(network.sites):
        with _at(settings, f"network.sites[{number}]"):
            if first(tx, Site, name=site.name) is None:
                add_site(tx, **site.model_dump(), now_s=now_s)
    with _at(settings, "gateway.site", is_leaf=True):
        if first(tx, Site, name=settings.gateway.site) is None:
            add_site(tx, name=settings.gateway.site, now_s=now_s)
    for number, relay in enumerate(network.relays):
        with _at(settings, f"network.relays[{number}]"):
            if first(tx, Relay, name=relay.name) is None:
                add_relay(tx, **relay.model_dump(), now_s=now_s)
    for number, link in enumerate(network.links):
        try:
            with _at(settings, f"network.links[{number}]"):
                add_link(tx, **link.model_dump(), now_s=now_s)
        except AlreadyExists:
            log.debug("link already declared", extra={"source": link.source, "target": link.target})


@contextmanager
def _at(settings: Settings, place: str, *, is_leaf: bool = False) -> Iterator[None]:
    """Say of what the catalog refuses at which place of the settings it stands; ``is_leaf``: it has no fields."""
    try:
        yield
    except AlreadyExists:
        raise
    except CatalogError as error:
        where = place if is_leaf or not error.field else f"{place}.{error.field}"
        raise InvalidSettings(
            f"{where}: {error} (in {settings.file or 'the environment'})", field=where, fix=error.fix
        ) from error


async def _first_admin(database: Database, path: Path, now_s: float) -> None:
    """Issue the first admin token into a file of mode 0600, when there is no admin yet."""

    def work(tx: Tx) -> str | None:
        if first(tx, Token, role=Role.ADMIN) is not None:
            return None
        _, text = issue_token(tx, role=Role.ADMIN, name="first admin", subject_id="", ttl_s=None, now_s=now_s)
        # Inside the transaction: a token that nobody can read must not be the only admin's.
        _write_private(path, text)
        return text

    if await database.write(work) is not None:
        log.info("first admin token written", extra={"file": str(path)})


def _write_private(path: Path, text: str) -> None:
    """Write one line, durable on return, that only its owner can read, whatever was at ``path`` before."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        os.fchmod(handle, 0o600)  # the mode above is for new files only
        file.write(text + "\n")
        file.flush()
        os.fsync(handle)
