"""A small private cloud as a process of its own: HTTP, basic authentication, state that survives SIGKILL.

    python -m gateway.demo.clouds.simulated_cloud --listen 127.0.0.1:0 --state FILE --account NAME --secret-file FILE

Prints ``{"listening": [host, port]}`` when ready and ends cleanly on SIGTERM. Names are not unique and there is
no client token: asking twice makes two machines, as at many real private clouds.

Test controls, without authentication: ``POST /_faults`` puts fault rules in force (see ``faults.py``), ``GET
/_ledger`` returns every create and delete.
"""

import argparse
import asyncio
import base64
import hmac
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from gateway.demo.clouds.faults import FaultKind, FaultRule, Faults
from gateway.demo.clouds.ledger import Ledger
from gateway.demo.clouds.listening import listening_line, split_address

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HANG_S: Final = 3600.0
_DRIP_PAUSE_S: Final = 0.05
_HUGE_BYTES: Final = 64 * 1024 * 1024
_BODY_LIMIT_BYTES: Final = 64 * 1024

SERVICES: Final = ("machine", "image", "size", "location", "network", "key-pair", "volume")
SIZES: Final = (
    {"id": "s1", "name": "small", "vcpu": 1, "memory_mib": 1024, "disk_gib": 10},
    {"id": "s2", "name": "medium", "vcpu": 2, "memory_mib": 4096, "disk_gib": 40},
    {"id": "s4", "name": "large", "vcpu": 4, "memory_mib": 16384, "disk_gib": 80},
)
IMAGES: Final = ({"id": "img-debian-12", "name": "Debian 12"}, {"id": "img-web", "name": "Web server on Debian 12"})
LOCATIONS: Final = (
    {"id": "hall-a", "name": "Hall A", "country": "DE"},
    {"id": "hall-b", "name": "Hall B", "country": "DE"},
)
NETWORKS: Final = ({"id": "net-1", "name": "tenants"}, {"id": "net-2", "name": "operations"})
KEY_PAIRS: Final = (
    {"name": "operations", "public_key": "ssh-ed25519 AAAA operations", "fingerprint": "SHA256:c2ltdWxhdGVk"},
)
VOLUMES: Final = ({"id": "vol-1", "name": "archive", "size_gib": 200},)


class SimulatedCloudServer:
    """The HTTP API over a ledger."""

    def __init__(self, ledger: Ledger, *, account: str, secret: str, region: str, page_count: int) -> None:
        self._ledger = ledger
        self._region = region
        self._page_count = page_count
        self._faults = Faults()
        pair = base64.b64encode(f"{account}:{secret}".encode()).decode()
        self._authorization = f"Basic {pair}"

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(
            middlewares=[self._faulty, self._authenticated], client_max_size=_BODY_LIMIT_BYTES
        )
        lists: dict[str, tuple[dict[str, Any], ...]] = {
            "sizes": SIZES,
            "images": IMAGES,
            "locations": LOCATIONS,
            "networks": NETWORKS,
            "key-pairs": KEY_PAIRS,
            "volumes": VOLUMES,
        }
        for name, rows in lists.items():
            application.router.add_get(f"/v1/{name}", self._lister(list(rows)))
        application.add_routes(
            [
                web.get("/v1/services", self._services),
                web.get("/v1/machines", self._machines),
                web.post("/v1/machines", self._create),
                web.get("/v1/machines/{id}", self._machine),
                web.delete("/v1/machines/{id}", self._delete),
                web.patch("/v1/machines/{id}", self._change),
                web.post("/v1/machines/{id}/rebuild", self._rebuild),
                web.get("/v1/machines/{id}/console", self._console),
                web.post("/v1/machines/{id}/{verb:start|stop|reboot}", self._power),
                web.get("/_ledger", self._entries),
                web.get("/_faults", self._show_faults),
                web.post("/_faults", self._set_faults),
            ]
        )
        return application

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = None if request.path.startswith("/_") else self._faults.take(f"{request.method} {request.path}")
        if rule is None:
            return await handler(request)
        if rule.kind in {FaultKind.LATENCY, FaultKind.LOST_REPLY}:
            # Received first: a caller that hangs up meanwhile does not undo what it has asked for.
            await request.read()
            await asyncio.sleep(rule.delay_s)
            answered = await handler(request)
            return answered if rule.kind is FaultKind.LATENCY else _error(503, "injected")
        return await _fault(request, rule)

    @web.middleware
    async def _authenticated(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not request.path.startswith("/_") and not hmac.compare_digest(given.encode(), self._authorization.encode()):
            return _error(401, "wrong account or secret")
        return await handler(request)

    def _lister(self, rows: list[dict[str, Any]]) -> Handler:
        async def listed(request: web.Request) -> web.Response:
            return self._page(request, rows)

        return listed

    def _page(self, request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
        after = request.query.get("after", "0")
        start = int(after) if after.isdecimal() else 0
        end = start + self._page_count
        following = str(end) if end < len(rows) else None
        return web.json_response({"items": rows[start:end], "total": len(rows), "next": following})

    async def _services(self, _request: web.Request) -> web.Response:
        return web.json_response({"services": SERVICES, "region": self._region})

    async def _machines(self, request: web.Request) -> web.Response:
        tags = {key.removeprefix("tag."): value for key, value in request.query.items() if key.startswith("tag.")}
        return self._page(request, self._ledger.machines(tags))

    async def _create(self, request: web.Request) -> web.Response:
        try:
            wanted = await request.json()
            problem = _problem(wanted)
        except (ValueError, TypeError, LookupError):
            problem = "the body is not a machine"
        return _error(400, problem) if problem else web.json_response(self._ledger.create(wanted), status=201)

    async def _machine(self, request: web.Request) -> web.Response:
        machine = self._ledger.machine(request.match_info["id"])
        return _error(404, "no such machine") if machine is None else web.json_response(machine)

    async def _delete(self, request: web.Request) -> web.Response:
        deleted = self._ledger.delete(request.match_info["id"])
        return web.json_response({}) if deleted else _error(404, "no such machine")

    async def _change(self, request: web.Request) -> web.Response:
        return await self._changed(request, size={str(size["id"]) for size in SIZES}, name=None)

    async def _rebuild(self, request: web.Request) -> web.Response:
        return await self._changed(request, image={image["id"] for image in IMAGES})

    async def _changed(self, request: web.Request, **known: set[str] | None) -> web.Response:
        """Change of the machine what is named, to one of those that are ``known`` (None: any text)."""
        try:
            wanted = dict(await request.json())
        except (ValueError, TypeError):
            return _error(400, "the body is not a change")
        for field, value in wanted.items():
            if field not in known or not isinstance(value, str) or value not in (known[field] or {value}):
                return _error(400, f"no such {field}")
        changed = self._ledger.change(request.match_info["id"], wanted, reboots="name" not in wanted)
        return web.json_response({}) if changed else _error(404, "no such machine")

    async def _console(self, request: web.Request) -> web.Response:
        machine = self._ledger.machine(request.match_info["id"])
        if machine is None:
            return _error(404, "no such machine")
        lines = (f"{machine['name']} is {machine['state']}", f"{machine['image']} on {machine['size']}", "login:")
        return web.json_response({"text": "\n".join(lines)})

    async def _power(self, request: web.Request) -> web.Response:
        changed = self._ledger.set_power(request.match_info["id"], request.match_info["verb"])
        return web.json_response({}) if changed else _error(404, "no such machine")

    async def _entries(self, _request: web.Request) -> web.Response:
        return web.json_response(self._ledger.entries())

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._faults.report())

    async def _set_faults(self, request: web.Request) -> web.Response:
        try:
            self._faults.replace(await request.json())
        except (ValueError, TypeError, LookupError):
            return _error(400, "the body is not a list of fault rules")
        return web.json_response(self._faults.report())


def _problem(wanted: dict[str, Any]) -> str:
    tags = wanted["tags"]
    if wanted["size"] not in {size["id"] for size in SIZES}:
        return "no such size"
    if wanted["image"] not in {image["id"] for image in IMAGES}:
        return "no such image"
    chosen = (("location", LOCATIONS, "id"), ("network", NETWORKS, "id"), ("key_pair", KEY_PAIRS, "name"))
    for what, there, key in chosen:
        if wanted.get(what) not in {None, *(row[key] for row in there)}:
            return f"no such {what.replace('_', ' ')}"
    if not isinstance(wanted["name"], str) or not all(isinstance(text, str) for text in tags.values()):
        return "name and tags are text"
    return ""


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)


async def _fault(request: web.Request, rule: FaultRule) -> web.StreamResponse:
    match rule.kind:
        case FaultKind.HANG:
            await asyncio.sleep(rule.delay_s or _HANG_S)
        case FaultKind.HUGE:
            return await _stream(request, b" " * 65_536, count=_HUGE_BYTES // 65_536, pause_s=0.0)
        case FaultKind.DRIP:
            return await _stream(request, b" ", count=int(_HANG_S / _DRIP_PAUSE_S), pause_s=_DRIP_PAUSE_S)
        case FaultKind.DROP if request.transport is not None:
            request.transport.abort()
    return _wrong(request, rule)


def _wrong(request: web.Request, rule: FaultRule) -> web.Response:
    match rule.kind:
        case FaultKind.DENIED:
            return _error(403, "this account may not do that")
        case FaultKind.GARBAGE:
            return web.Response(body=b"\x00\xff{not json <not xml", content_type="application/json")
        case FaultKind.REDIRECT:
            return web.Response(status=302, headers={"Location": rule.to})
        case FaultKind.ECHO:
            return web.Response(status=400, text="\r\n".join(f"{k}: {v}\x07" for k, v in request.headers.items()))
    return _error(503, "injected")


async def _stream(request: web.Request, chunk: bytes, *, count: int, pause_s: float) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(count):
        await response.write(chunk)
        await asyncio.sleep(pause_s)
    return response


async def _serve(options: argparse.Namespace) -> None:
    ledger = Ledger(options.state, boot_s=options.boot_s)
    server = SimulatedCloudServer(
        ledger,
        account=options.account,
        secret=options.secret_file.read_text().strip(),
        region=options.region,
        page_count=options.page_count,
    )
    # Hanging answers are cut at the end, not waited for.
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        host, port = split_address(options.listen)
        site = web.TCPSite(runner, host, port)
        await site.start()
        print(listening_line(runner.addresses[0]), flush=True)
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await ended.wait()
    finally:
        await runner.cleanup()
        ledger.close()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="A simulated private cloud.")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--state", type=Path, required=True, help="the SQLite file of its machines and ledger")
    parser.add_argument("--account", required=True)
    parser.add_argument("--secret-file", type=Path, required=True, help="a file with the account's secret")
    parser.add_argument("--region", default="private-1")
    parser.add_argument("--boot-s", type=float, default=0.5, help="seconds from create to RUNNING")
    parser.add_argument("--page-count", type=int, default=1000, help="rows per page of a list")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
