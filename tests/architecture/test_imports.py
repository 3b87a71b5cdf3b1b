"""The import table: who may import whom, each ban with its reason, imports inside functions included."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("gateway", "routing", "catalog", "drivers")

# importer prefix -> {banned prefix: why}. The longest matching importer prefix does not hide the shorter ones:
# every ban whose importer prefix matches applies, except what ALLOWED names.
FORBIDDEN: dict[str, dict[str, str]] = {
    "routing": {
        "catalog": "routes must be computable and testable without a database",
        "drivers": "routing knows nothing of what is at the other end",
        "gateway": "routing could be published alone",
        "sqlmodel": "routing keeps no records; it returns values",
        "sqlalchemy": "routing keeps no records; it returns values",
        "libcloud": "routing knows nothing of what is at the other end",
        "aiohttp": "routing carries bytes, not requests",
    },
    "catalog": {
        "routing": "an order does not care by which path its cloud is reached",
        "drivers": "SDK types end at drivers/",
        "gateway": "the catalog does not know how it is asked",
        "libcloud": "SDK types end at drivers/",
        "asyncssh": "the catalog opens no connections",
        "aiohttp": "the catalog opens no connections",
        "networkx": "paths belong to routing",
    },
    "catalog.model": {
        "catalog.store": "rows and states are everybody's vocabulary, whoever keeps them",
        "catalog.orders": "rows decide nothing",
        "catalog.pool": "rows decide nothing",
        "catalog.ports": "rows need nothing from the world",
    },
    "drivers": {
        "catalog": "S4: a driver knows what it is asked and answers in, and nothing of what is decided with it",
        "routing": "a driver is given a dialer, whatever lies behind it",
        "gateway": "drivers are called, they do not call",
        "sqlmodel": "the provisioner's own tables are plain ones",
        "sqlalchemy": "the provisioner's own tables live in four modules of drivers.provisioner",
    },
    "gateway.connections": {
        "drivers": "they work through ports",
        "gateway.api": "work does not know how it was asked for",
        "gateway.settings": "compose builds policies from settings",
        "gateway.compose": "composition is the outermost ring",
    },
    "gateway.background": {
        "drivers": "they work through ports",
        "gateway.api": "work does not know how it was asked for",
        "gateway.settings": "compose builds policies from settings",
        "gateway.compose": "composition is the outermost ring",
    },
    "gateway.egress": {
        "drivers": "what crosses the line are the calls of the port",
        "gateway.api": "work does not know how it was asked for",
        "gateway.settings": "compose builds policies from settings",
        "gateway.compose": "composition is the outermost ring",
    },
    "gateway.relays": {
        "drivers": "relays are hosts, not clouds",
        "gateway.api": "work does not know how it was asked for",
        "gateway.settings": "compose builds policies from settings",
        "gateway.compose": "composition is the outermost ring",
        "gateway.connections": "whoever looks after relays uses no tunnel of others",
    },
    "gateway.api": {
        "drivers": "an endpoint never picks a technology",
        "routing": "an endpoint never picks a technology",
        "gateway.settings": "compose builds limits from settings",
        "gateway.compose": "composition is the outermost ring",
        "gateway.background": "an endpoint wakes work by name, it does not hold it",
    },
    "gateway.cli": {
        "catalog": "the command line speaks only HTTP, and starts fast",
        "routing": "the command line speaks only HTTP, and starts fast",
        "drivers": "the command line speaks only HTTP, and starts fast",
        "gateway.api": "the command line speaks only HTTP",
        "gateway.connections": "the command line speaks only HTTP",
        "gateway.background": "the command line speaks only HTTP",
        "gateway.settings": "the command line speaks only HTTP",
        "gateway.compose": "only the server commands start a server",
        "gateway.programs": "only the server commands start a server",
        "gateway.demo": "only the server commands start the demo",
        "gateway.connector": "only the server commands start a connector",
        "sqlmodel": "start-up time",
        "scapy": "start-up time",
        "libcloud": "start-up time",
        "networkx": "start-up time",
        "numpy": "start-up time",
        "scipy": "start-up time",
        "asyncssh": "start-up time",
        "aiohttp": "start-up time",
    },
    "gateway.client": {
        "catalog": "the client is a program of the API's reader",
        "routing": "the client is a program of the API's reader",
        "drivers": "the client is a program of the API's reader",
        "gateway.api": "the client speaks HTTP",
        "gateway.cli": "the command line is one user of the client",
        "aiohttp": "start-up time",
    },
    "gateway.streams": {
        "catalog": "it runs beside the command line, which speaks only HTTP",
        "routing": "it runs beside the command line, which speaks only HTTP",
        "drivers": "it runs beside the command line, which speaks only HTTP",
        "gateway.api": "both sides speak its protocol; it knows neither",
        "gateway.cli": "both sides speak its protocol; it knows neither",
        "gateway.connections": "both sides speak its protocol; it knows neither",
        "gateway.connector": "both sides speak its protocol; it knows neither",
        "gateway.settings": "its numbers are its own",
    },
    "gateway.connector": {
        "routing": "the connector is the owner's side; it is reached, it does not reach",
        "drivers": "the connector grants; it does not call clouds",
        "gateway.api": "the connector has a door of its own",
        "gateway.connections": "the connector is the other side of these",
        "catalog.store": "the connector keeps its own state",
        "gateway.settings": "the connector has a policy file of its own",
        "gateway.compose": "the connector is another program",
    },
    "gateway.settings": {
        "catalog": "it reads; compose builds the policies",
        "routing": "it reads; compose builds the policies",
        "drivers": "it reads; compose builds the policies",
    },
    "gateway": {
        "drivers": "compose is the one composition root",
    },
}

# (importer prefix, imported prefix): why the ban does not hold here.
ALLOWED: dict[tuple[str, str], str] = {
    ("drivers", "catalog.ports"): "what it implements",
    ("drivers", "catalog.clouds"): "what it implements",
    ("drivers", "catalog.cloud_assets"): "what it implements",
    ("drivers", "catalog.prices.ports"): "what it implements",
    ("drivers", "catalog.errors"): "what it raises",
    ("drivers", "catalog.messages"): "what the applications say to each other",
    ("drivers", "catalog.model.ids"): "ids are how messages name things",
    ("drivers", "catalog.secrets"): "a value that shows itself to nobody",
    ("drivers", "catalog.endpoints"): "how a URL names what is dialled",
    ("drivers", "catalog.listed"): "how a list is handed over",
    ("drivers", "catalog.providers"): "what is said of a provider",
    ("drivers.provisioner.records", "sqlalchemy"): "its own tables",
    ("drivers.provisioner.tables", "sqlalchemy"): "its own tables",
    ("drivers.provisioner.statements", "sqlalchemy"): "its own tables",
    ("drivers.provisioner.shared_records", "sqlalchemy"): "its own tables",
    ("gateway.compose", "drivers"): "the one composition root",
    ("gateway.cli.server", "gateway.programs"): "starts the server, imported when the command runs",
    ("gateway.cli.server", "gateway.demo"): "starts the demo, imported when the command runs",
    ("gateway.cli.server", "gateway.connector"): "starts a connector, imported when the command runs",
}


def modules() -> list[Path]:
    """Return every module of ours, tests left out."""
    return sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted name of the module at ``path``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import in the file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the importer from this test"
            # `from catalog import store` imports catalog.store: both readings are checked.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def under(name: str, prefix: str) -> bool:
    """Tell whether dotted ``name`` is ``prefix`` or inside it."""
    return name == prefix or name.startswith(prefix + ".")


def breaches(importer: str, imported: str) -> Iterator[str]:
    """Yield the reason of every ban that ``importer`` breaks by importing ``imported``."""
    for owner, bans in FORBIDDEN.items():
        if not under(importer, owner):
            continue
        for banned, why in bans.items():
            if under(imported, banned) and not excused(importer, imported):
                yield f"{owner} must not import {banned}: {why}"


def excused(importer: str, imported: str) -> bool:
    """Tell whether ALLOWED makes an exception."""
    return any(under(importer, who) and under(imported, what) for who, what in ALLOWED)


def test_imports_follow_the_table() -> None:
    """No module imports what the house plan keeps from it, not even inside a function."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {imported}: {reason}"
        for path in modules()
        for line, imported in imports(path)
        for reason in breaches(name_of(path), imported)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("importer", "imported", "is_breach"),
    [
        pytest.param("routing.ranking", "catalog.ports.Clock", True, id="routing needs no catalog"),
        pytest.param("drivers.clouds.ec2", "catalog.model.ids.PlatformId", False, id="ids pass to drivers"),
        pytest.param("drivers.clouds.ec2", "catalog.model.machine.Machine", True, id="rows do not"),
        pytest.param("drivers.clouds.ec2", "catalog.quotas", True, id="nor does what is decided"),
        pytest.param("gateway.api.orders", "drivers.registry", True, id="an endpoint picks no driver"),
        pytest.param("gateway.compose", "drivers.registry", False, id="compose does"),
        pytest.param("gateway.cli.orders", "gateway.compose", True, id="only server commands start servers"),
        pytest.param("catalog.store.rows", "catalog.model.rows.Row", False, id="the store knows the rows"),
        pytest.param("routing.x", "catalogue", False, id="prefixes end at dots"),
    ],
)
def test_the_table_itself(importer: str, imported: str, is_breach: bool) -> None:  # noqa: FBT001
    """The table bites where it should and nowhere else."""
    assert bool(list(breaches(importer, imported))) is is_breach


def test_every_exception_is_used() -> None:
    """An exception that nothing needs any more is taken out."""
    pairs = [(name_of(path), imported) for path in modules() for _, imported in imports(path)]
    unused = [key for key in ALLOWED if not any(under(a, key[0]) and under(b, key[1]) for a, b in pairs)]
    assert unused == []
