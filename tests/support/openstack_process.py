"""A small OpenStack in one process: a real Keystone on SQLite, and an emulated Nova and Glance behind its catalog.

    .venv-clients/bin/python tests/support/openstack_process.py --root DIR --listen 127.0.0.1:0 --host NAME

Run by the clients' own environment, which has Keystone. Tokens are Keystone's: the emulated services ask it about every
one. They know only what the stories need, page their lists by links as Nova does, and hold a list open after
``POST /_hold`` until they are told to ``POST /_release``. Prints ``{"listening": [host, port]}`` when it is up.
"""

# ruff: noqa: PLC0415, PLR0911  # Keystone is imported where it runs, and is in the clients' environment only

import argparse
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

Environ = dict[str, Any]
Start = Callable[..., Any]
REGION, USER, PASSWORD, PROJECT = "RegionOne", "primary", "canary-keystone-password", "shop"
IMAGE = {"id": "11111111-0000-4000-8000-000000000001", "name": "debian-12", "status": "active", "visibility": "public"}
FLAVOR = {"id": "1", "name": "m1.tiny", "ram": 512, "disk": 1, "vcpus": 1, "swap": "", "rxtx_factor": 1.0}
PAGE = 2


class Services:
    """The emulated Nova and Glance."""

    def __init__(self, keystone: Callable[[Environ, Start], Iterable[bytes]], base: str) -> None:
        self._keystone, self._base = keystone, base
        self._released = threading.Event()
        self._released.set()
        self._servers = {f"{n:08d}-0000-4000-8000-000000000000": self._new(n, f"web-{n}") for n in range(1, 4)}
        self._good: set[str] = set()
        self.log: list[str] = []

    def _new(self, number: int, name: str) -> dict[str, Any]:
        uuid = f"{number:08d}-0000-4000-8000-000000000000"
        links = [{"rel": "self", "href": f"{self._base}/compute/v2.1/servers/{uuid}"}]
        flavor = {key: FLAVOR[key] for key in ("vcpus", "ram", "disk")} | {"original_name": FLAVOR["name"]}
        return {
            "id": uuid, "name": name, "status": "ACTIVE", "links": links, "addresses": {}, "metadata": {}, "tags": [],
            "image": {"id": IMAGE["id"]}, "flavor": flavor, "tenant_id": "t", "user_id": "u",
            "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
            "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 1,
        }  # fmt: skip

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request, Keystone's with Keystone."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path in {"/_hold", "/_release"}:
            (self._released.clear if path == "/_hold" else self._released.set)()
            return _json(start, 200, {})
        if path == "/_log":
            return _json(start, 200, {"log": self.log})
        if not path.startswith(("/compute", "/image")):
            return self._keystone(environ, start)
        versions = self._versions(path)
        if method == "GET" and versions is not None:
            return _json(start, 200 if "/v" in path else 300, versions)
        if not self._knows(environ.get("HTTP_X_AUTH_TOKEN", "")):
            return _json(start, 401, {"error": {"code": 401, "title": "Unauthorized", "message": "no good token"}})
        self.log.append(f"{method} {path}")
        return self._service(environ, start, method, path)

    def _service(self, environ: Environ, start: Start, method: str, path: str) -> Iterable[bytes]:
        service, *rest = path.strip("/").split("/")
        match (service, method, *rest[1:]):
            case ("image", "GET", "images"):
                return _json(start, 200, {"images": [IMAGE], "first": "/v2/images", "schema": "/v2/schemas/images"})
            case ("image", "GET", "images", _):
                return _json(start, 200, IMAGE)
            case ("compute", "GET", "flavors", "detail"):
                return _json(start, 200, {"flavors": [FLAVOR]})
            case ("compute", "GET", "flavors", _):
                return _json(start, 200, {"flavor": FLAVOR})
            case ("compute", "GET", "servers", "detail") | ("compute", "GET", "servers"):
                return self._list(environ, start)
            case ("compute", "POST", "servers"):
                number = len(self._servers) + 1
                asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["server"]
                made = self._new(number, asked["name"])
                self._servers[made["id"]] = made
                return _json(start, 202, {"server": {"id": made["id"], "links": made["links"], "adminPass": "x"}})
            case ("compute", _, "servers", uuid, *more) if uuid in self._servers:
                return self._one(environ, start, method, uuid, more)
        return _json(start, 404, {"itemNotFound": {"code": 404, "message": f"nothing is at {path}"}})

    def _one(self, environ: Environ, start: Start, method: str, uuid: str, more: list[str]) -> Iterable[bytes]:
        server = self._servers[uuid]
        if method == "DELETE":
            del self._servers[uuid]
            return _json(start, 204, None)
        if more == ["action"]:
            body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            server["status"] = "SHUTOFF" if "os-stop" in body else "ACTIVE"
            return _json(start, 202, None)
        return _json(start, 200, {"server": server})

    def _list(self, environ: Environ, start: Start) -> Iterable[bytes]:
        query = dict(part.partition("=")[::2] for part in environ.get("QUERY_STRING", "").split("&") if part)
        named = [each for each in self._servers.values() if query.get("name", "") in each["name"]]
        after = [each["id"] for each in named].index(query["marker"]) + 1 if "marker" in query else 0
        found = {"servers": named[after : after + PAGE]}
        if named[after + PAGE :]:
            following = f"{self._base}{environ['PATH_INFO']}?marker={found['servers'][-1]['id']}"
            found["servers_links"] = [{"rel": "next", "href": following}]
        body = json.dumps(found).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return self._held(body)

    def _held(self, body: bytes) -> Iterator[bytes]:
        yield body[:20]
        self._released.wait()
        yield body[20:]

    def _versions(self, path: str) -> dict[str, Any] | None:
        href = {"rel": "self", "href": f"{self._base}{path.rstrip('/')}/"}
        match path.rstrip("/"):
            case "/compute/v2.1" | "/compute":
                version = {"id": "v2.1", "status": "CURRENT", "version": "2.1", "min_version": "2.1", "links": [href]}
                if path.rstrip("/") == "/compute":
                    href["href"] = f"{self._base}/compute/v2.1/"
                    return {"versions": [version]}
                return {"version": version}
            case "/image" | "/image/versions":
                href["href"] = f"{self._base}/image/v2/"
                return {"versions": [{"id": "v2.9", "status": "CURRENT", "links": [href]}]}
        return None

    def _knows(self, token: str) -> bool:
        """Ask Keystone whether a token of its own is good; what was good stays so."""
        if token in self._good:
            return True
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/v3/auth/tokens", "QUERY_STRING": "", "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
            "wsgi.input": sys.stdin.buffer, "wsgi.errors": sys.stderr, "wsgi.version": (1, 0),
            "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
            "HTTP_X_AUTH_TOKEN": token, "HTTP_X_SUBJECT_TOKEN": token,
        }  # fmt: skip
        b"".join(self._keystone(environ, lambda status, *_: statuses.append(status)))
        if statuses[0].startswith("200"):
            self._good.add(token)
        return token in self._good


def _json(start: Start, status: int, document: object) -> Iterable[bytes]:
    body = b"" if document is None else json.dumps(document).encode()
    start(f"{status} .", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def keystone(root: Path, base: str) -> Callable[[Environ, Start], Iterable[bytes]]:
    """Return Keystone's application over a fresh database in ``root``, with one user, project and catalog."""
    (root / "keystone.conf").write_text(
        f"[database]\nconnection = sqlite:///{root}/keystone.db\n[fernet_tokens]\nkey_repository = {root}/fernet\n"
        f"[fernet_receipts]\nkey_repository = {root}/fernet\n"
        f"[credential]\nkey_repository = {root}/credential\n[cache]\nenabled = false\n[DEFAULT]\nlog_dir = {root}\n"
        # The cheapest rounds that it allows: nobody's password is kept here.
        "[identity]\npassword_hash_rounds = 4\n"
    )
    os.environ |= {"OS_KEYSTONE_CONFIG_DIR": str(root), "OS_KEYSTONE_CONFIG_FILES": "keystone.conf"}
    from keystone.cmd import bootstrap  # noqa: F401  # loaded here once, for the child below too
    from keystone.server.wsgi import initialize_public_application

    # In a child, because Keystone's options are read once in a process, and its application wants to be the one.
    if (child := os.fork()) == 0:
        _prepare(root, base)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "Keystone's database could not be made"
    application: Callable[[Environ, Start], Iterable[bytes]] = initialize_public_application()
    return application


def _prepare(root: Path, base: str) -> None:
    from keystone import server
    from keystone.cmd import bootstrap
    from keystone.common import fernet_utils
    from keystone.common.sql import upgrades

    server.configure(config_files=[str(root / "keystone.conf")])
    for name, length in (("fernet", "fernet_tokens"), ("credential", "credential")):
        (root / name).mkdir(mode=0o700)
        fernet_utils.FernetUtils(f"{root}/{name}", 3, length).initialize_key_repository()
    upgrades.offline_sync_database_to_version()
    made = bootstrap.Bootstrapper()
    made.admin_username, made.admin_password, made.project_name = USER, PASSWORD, PROJECT
    made.admin_role_name, made.service_name, made.region_id = "admin", "keystone", REGION
    made.public_url = made.internal_url = made.admin_url = f"{base}/v3/"
    made.bootstrap()
    _add_services(base)


def _add_services(base: str) -> None:
    from keystone.common.provider_api import ProviderAPIs

    places = {"nova": f"{base}/compute/v2.1", "glance": f"{base}/image", "neutron": "http://10.9.9.9:9696"}
    for kind, (name, url) in zip(("compute", "image", "network"), places.items(), strict=True):
        ProviderAPIs.catalog_api.create_service(kind, {"id": kind, "type": kind, "name": name, "enabled": True})
        endpoint = {"id": f"{kind}-1", "service_id": kind, "interface": "public", "url": url, "enabled": True}
        ProviderAPIs.catalog_api.create_endpoint(endpoint["id"], endpoint | {"region_id": REGION})


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until the process is ended."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--host", required=True)
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # Keystone reads it too
    host, _, port = options.listen.rpartition(":")
    server = make_server(host, int(port), None, server_class=_Server, handler_class=_Quiet)
    base = f"http://{options.host}:{server.server_port}"
    server.set_app(Services(keystone(options.root, base), base))
    print(json.dumps({"listening": [host, server.server_port]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
