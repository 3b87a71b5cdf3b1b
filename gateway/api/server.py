"""Put the declared endpoints together, and serve them on TCP, a unix socket or an inherited one."""

import asyncio
import os
import re
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from catalog.access import PERMISSIONS
from gateway.api import (
    accounts,
    answer_links,
    approval_rules,
    approvals,
    assets,
    audit,
    budgets,
    connection_trace,
    connections,
    dead_letters,
    decisions,
    enrolments,
    events,
    exits,
    grant_answers,
    grants,
    health,
    imported,
    leases,
    machine_changes,
    machines,
    network,
    network_status,
    offers,
    oidc,
    openapi,
    order_story,
    orders,
    passages,
    passing,
    platforms,
    pools,
    prices,
    providers,
    quotas,
    relay_care,
    rights,
    schedules,
    search,
    sessions,
    streams,
    tenancy,
    tokens,
    webhooks,
    weights,
)
from gateway.api.deadlines import Caps, Deadlines
from gateway.api.dispatch import handler_for
from gateway.api.edge import edge
from gateway.api.endpoints import Endpoint
from gateway.api.services import ApiServices
from gateway.errors import InvalidSettings

SERVICES = web.AppKey("services", ApiServices)
_PORTS = 65_535
_INHERITED = re.compile(r"fd:([0-9]{1,4})")
BACKLOG = 128  # small: what waits here is not yet under any deadline of ours

RESOURCES = (
    health,
    providers,
    tenancy,
    accounts,
    sessions,
    oidc,
    tokens,
    enrolments,
    platforms,
    rights,
    exits,
    network,
    relay_care,
    network_status,
    weights,
    connections,
    connection_trace,
    decisions,
    grants,
    answer_links,
    grant_answers,
    offers,
    search,
    prices,
    leases,
    budgets,
    quotas,
    orders,
    order_story,
    approvals,
    approval_rules,
    pools,
    machines,
    machine_changes,
    imported,
    assets,
    schedules,
    streams,
    passages,
    events,
    webhooks,
    dead_letters,
    audit,
)


def declared() -> tuple[Endpoint, ...]:
    """Return every endpoint of the API, the one for its own description included."""
    endpoints: list[Endpoint] = [endpoint for resource in RESOURCES for endpoint in resource.routes]
    endpoints.extend(openapi.routes_over(endpoints))
    return tuple(endpoints)


def build_app(services: ApiServices, endpoints: Sequence[Endpoint] | None = None) -> web.Application:
    """Return the application. Raises ValueError for a permission that no role table knows or a name used twice.

    Its start fails when somebody added a route past the declarations.
    """
    endpoints = declared() if endpoints is None else tuple(endpoints)
    _check(endpoints)
    app = web.Application(middlewares=[edge(services)], client_max_size=services.limits.body_bytes)
    app[SERVICES] = services
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, handler_for(endpoint, services), name=None)
    passing.add_passing(app, services)

    async def on_startup(app: web.Application) -> None:
        _refuse_undeclared(app, endpoints)

    async def on_shutdown(_app: web.Application) -> None:
        await services.changes.close()
        services.database.told.ring()
        services.doors.close()

    app.on_startup.append(on_startup)
    app.on_shutdown.append(on_shutdown)
    return app


def _check(endpoints: Sequence[Endpoint]) -> None:
    names = [endpoint.name for endpoint in endpoints]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"endpoints share a name: {', '.join(sorted(twice))}")
    for endpoint in endpoints:
        if endpoint.permission is not None and endpoint.permission not in PERMISSIONS:
            raise ValueError(f"{endpoint.name} asks for {endpoint.permission}, which catalog.access does not know")


def _refuse_undeclared(app: web.Application, endpoints: Sequence[Endpoint]) -> None:
    known = {(endpoint.method, endpoint.path) for endpoint in endpoints} | {(passing.METHOD, passing.PATH)}
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else "?"
        if (route.method, path) not in known:
            raise RuntimeError(f"{route.method} {path} is not declared: nobody would check who calls it")


@asynccontextmanager
async def serve_app(app: web.Application, listen: str) -> AsyncIterator[str]:
    """Serve ``app`` at ``listen`` while the context lasts, and yield its ``http://host:port`` or ``unix:/path``.

    ``listen`` is ``host:port`` (port 0: any), ``unix:/path`` (made with mode 0600) or ``fd:N`` (an inherited listening
    socket). Raises InvalidSettings when it is none of these or cannot be had. On leaving, requests under way get
    ``shutdown_s`` to end.
    """
    services = app[SERVICES]
    runner = web.AppRunner(app, shutdown_timeout=services.limits.shutdown_s, access_log=None)
    await runner.setup()
    try:
        manager = runner.server
        assert manager is not None
        loop = asyncio.get_running_loop()
        caps = Caps(total=services.limits.connections, per_address=services.limits.connections_per_address)
        sock = listening_socket(listen)
        server = await loop.create_server(
            lambda: Deadlines(manager, services=services, caps=caps, loop=loop), sock=sock, backlog=BACKLOG
        )
        try:
            yield _url(sock, listen)
        finally:
            server.close()
            _remove(listen)
    finally:
        await runner.cleanup()


def check_listen(listen: str) -> None:
    """Raise InvalidSettings unless ``listen`` has one of the three forms; whether it can be had is not tried."""
    host, _, port = listen.rpartition(":")
    if listen.startswith("unix:/") or _INHERITED.fullmatch(listen):
        return
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > _PORTS:
        raise _unusable(listen, "it has none of the three forms")


def listening_socket(listen: str) -> socket.socket:
    """Return the bound socket that ``listen`` names. Raises InvalidSettings."""
    check_listen(listen)
    try:
        if listen.startswith("unix:"):
            return _unix_socket(Path(listen.removeprefix("unix:")))
        if found := _INHERITED.fullmatch(listen):
            return socket.socket(fileno=int(found.group(1)))
        host, _, port = listen.rpartition(":")
        return socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise _unusable(listen, str(error)) from error


def _unix_socket(path: Path) -> socket.socket:
    # A socket left by a killed process is replaced; anything else at that path is not ours to remove.
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX)
    # The mask, not a chmod afterwards: there must be no moment in which others may connect.
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _remove(listen: str) -> None:
    if listen.startswith("unix:"):
        Path(listen.removeprefix("unix:")).unlink(missing_ok=True)


def _unusable(listen: str, reason: str) -> InvalidSettings:
    return InvalidSettings(
        f"cannot listen at {listen!r}: {reason}",
        field="api.listen",
        fix="HOST:PORT as 127.0.0.1:8780, a port that is free; unix:/run/crossway/api.sock; or fd:3, inherited",
    )


def _url(sock: socket.socket, listen: str) -> str:
    if sock.family == socket.AF_UNIX:
        return listen
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
