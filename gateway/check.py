"""What ``crossway check`` finds out: everything that a start would refuse, and whether every relay lets us in.

Changes and creates nothing: what a start would write is rehearsed on a copy of the database in memory.
"""

import os
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import asyncssh
import networkx as nx

from catalog.errors import CatalogError, InvalidValue
from catalog.messages.signing_key import load_or_create_key
from catalog.model.platform import SealedCredential
from catalog.store.database import Tx, is_open_elsewhere, rehearse, shown
from catalog.store.rows import first
from gateway.api.server import check_listen
from gateway.bootstrap import SEALING_KEYS_FILE, SIGNING_KEY_FILE, declare, prepare_state_dir
from gateway.clock import SystemClock
from gateway.compose.keys import Keys
from gateway.compose.policies import tunnel_policy
from gateway.compose.provisioning import refuse_alone
from gateway.compose.queues import broker
from gateway.compose.records import check_records
from gateway.egress.keys import EgressKeys
from gateway.errors import GatewayError
from gateway.network import GATEWAY_NODE, declared_topology
from gateway.relays.ssh_keys import AUTHORITY_KEY_FILE, SSH_KEY_FILE, ssh_key_of
from gateway.settings import Settings
from routing import topology
from routing.errors import RoutingError
from routing.tunnel.policy import TunnelCredentials
from routing.tunnel.pool import HopPool

Finding = dict[str, object]

OUR_PACKAGES = ("gateway", "routing", "catalog", "drivers")
LATER = "made at the first start"


async def check_all(settings: Settings) -> list[Finding]:
    """Return one finding per thing: ``check``, ``ok`` and, as far as they help, ``code``, ``detail`` and ``fix``."""
    networks: list[topology.Topology] = []
    found = [
        {"check": "settings", "ok": True},
        _judged("packages", _packages),
        _judged("api.listen", lambda: _listen(settings)),
        _judged("state", lambda: _state(settings.gateway.state_dir)),
        _judged("keys", lambda: _keys(settings)),
        _judged("database", lambda: _database(settings)),
        _judged("network", lambda: _network(settings, networks)),
    ]
    if settings.provision.listen or settings.provision.gateway:
        found.append(_judged("provision", lambda: _provision(settings)))
    if settings.provision.database_url:
        found.append(_judged("records", lambda: _records(settings)))
    if settings.queue.url:
        found.append(await _queue(settings))
    return [*found, *[finding for network in networks for finding in await _relays(network, settings)]]


def _judged(name: str, work: Callable[[], Finding]) -> Finding:
    try:
        return {"check": name, "ok": True, **work()}
    except (CatalogError, GatewayError) as error:
        return _bad(name, error)


def _bad(name: str, error: CatalogError | GatewayError) -> Finding:
    told = {"field": error.field, "fix": error.fix}
    kept = {key: text for key, text in told.items() if text}
    return {"check": name, "ok": False, "code": error.code, "detail": str(error), **kept}


def _packages() -> Finding:
    foreign = [name for name in OUR_PACKAGES if set(packages_distributions().get(name, ["crossway"])) - {"crossway"}]
    if foreign:
        raise InvalidValue(f"another distribution also has {', '.join(foreign)}", fix="use an environment of its own")
    return {}


def _listen(settings: Settings) -> Finding:
    check_listen(settings.api.listen)
    return {"detail": settings.api.listen}


def _state(path: Path) -> Finding:
    if path.exists():
        prepare_state_dir(path)
        return {}
    above = next(each for each in path.absolute().parents if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        fix = "set it to a directory of this user's own"
        raise InvalidValue(f"the state directory {path} cannot be made", field="gateway.state_dir", fix=fix)
    return {"detail": LATER}


def _keys(settings: Settings) -> Finding:
    state_dir = settings.gateway.state_dir
    missing = _missing_keys(state_dir)
    if not missing:
        Keys.load(state_dir)
    told: Finding = {"detail": f"{LATER}: {', '.join(missing)}"} if missing else {}
    sealed = rehearse(settings.database_url, lambda tx: first(tx, SealedCredential) is not None)
    if SEALING_KEYS_FILE in missing and sealed:
        # A start would make a fresh key, and nothing that is sealed could be opened any more.
        fix = f"put {SEALING_KEYS_FILE} back into {state_dir}"
        raise InvalidValue("the key that the stored credentials are sealed with is missing", fix=fix)
    if SSH_KEY_FILE not in missing:
        told["ssh_key"] = _ssh_key(state_dir).export_public_key().decode().strip()
    return told


def _ssh_key(state_dir: Path) -> asyncssh.SSHKey:
    return ssh_key_of(load_or_create_key(state_dir / SSH_KEY_FILE))  # it is there: nothing is made


def _credentials(state_dir: Path) -> TunnelCredentials:
    authority = state_dir / AUTHORITY_KEY_FILE
    signs = ssh_key_of(load_or_create_key(authority)) if authority.exists() else None
    return TunnelCredentials(client_key=_ssh_key(state_dir), authority=signs)


def _missing_keys(state_dir: Path) -> list[str]:
    return [name for name in (SSH_KEY_FILE, SIGNING_KEY_FILE, SEALING_KEYS_FILE) if not (state_dir / name).exists()]


def _database(settings: Settings) -> Finding:
    url = settings.database_url
    rehearse(url, lambda _tx: None)
    in_use = {"detail": "in use by a running gateway"} if is_open_elsewhere(url) else {}
    return {"url": shown(url), **in_use}


def _provision(settings: Settings) -> Finding:
    refuse_alone(settings)
    path = settings.gateway.state_dir / settings.provision.secret_file
    if path.exists():
        EgressKeys.load(path)
        return {"detail": str(path)}
    if not settings.provision.listen:
        EgressKeys.load(path)  # raises: a provisioner's is copied from its gateway
    return {"detail": LATER}


def _records(settings: Settings) -> Finding:
    check_records(settings.provision, settings.gateway.state_dir)
    return {"url": shown(settings.provision.database_url)}


async def _queue(settings: Settings) -> Finding:
    try:
        await broker(settings.queue, settings.gateway.state_dir).answers()
    except (CatalogError, GatewayError) as error:
        return _bad("queue", error)
    return {"check": "queue", "ok": True, "url": settings.queue.url}


def _network(settings: Settings, networks: list[topology.Topology]) -> Finding:
    def work(tx: Tx) -> topology.Topology:
        declare(tx, settings, SystemClock().now_s())
        return declared_topology(tx, gateway_site=settings.gateway.site)

    network = rehearse(settings.database_url, work)
    networks.append(network)
    apart = sorted({relay.name for relay in network.relays} - set(_ways(network)))
    return {"detail": f"no links lead from the gateway's site to {', '.join(apart)}"} if apart else {}


def _ways(network: topology.Topology) -> dict[str, list[str]]:
    """Return the shortest way from the gateway to each relay that links lead to; the gateway itself stands first."""
    nowhere = topology.Node(name="check/", kind=topology.NodeKind.TARGET, site=network.gateway.site)
    ways: dict[str, list[str]] = nx.single_source_shortest_path(network.graph(nowhere), GATEWAY_NODE)
    return ways


async def _relays(network: topology.Topology, settings: Settings) -> list[Finding]:
    """Log in at every relay, over as few others as possible, each dialled as the place before it sees it.

    One that no links lead to is dialled straight from the gateway's site.
    """
    if SSH_KEY_FILE in _missing_keys(settings.gateway.state_dir):
        detail = f"not tried: there is no SSH key yet, it is {LATER}"
        return [{"check": f"relay {relay.name}", "ok": True, "detail": detail} for relay in network.relays]
    ways = _ways(network)
    credentials = _credentials(settings.gateway.state_dir)
    async with HopPool(credentials, tunnel_policy(settings)) as pool:
        return [
            await _relay(ways.get(relay.name, [GATEWAY_NODE, relay.name]), pool, network) for relay in network.relays
        ]


async def _relay(way: list[str], pool: HopPool, network: topology.Topology) -> Finding:
    finding: Finding = {"check": f"relay {way[-1]}", "ok": True}
    try:
        await (await pool.lease(tuple(way[1:]), network)).release()
    except RoutingError as error:
        return {**finding, "ok": False, "code": error.code, "detail": str(error)}
    return finding
