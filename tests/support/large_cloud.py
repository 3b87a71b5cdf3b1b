"""An OpenStack of thousands of flavors and images, in a process of its own: lists in pages, as Nova and Glance send.

    python -m tests.support.large_cloud --rows N [--endless]

Any log-in is good. ``POST /_change?rows=K`` renames the first K images. With ``--endless`` every page has a next one.
Prints ``{"listening": [host, port]}`` when it is up; ends on SIGTERM.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from catalog.clouds import CloudAccount
from catalog.model.ids import PlatformId
from catalog.ports import Address, ApprovedEndpoint
from catalog.secrets import Secret

HOST = "openstack.large.example"
KINDS = {"compute": "nova", "image": "glance"}
LISTS = {"/compute/flavors/detail": "flavors", "/image/v2/images": "images"}


class LargeCloud:
    """The lists, and which page of them is asked for."""

    def __init__(self, rows: int, *, endless: bool) -> None:
        self._endless = endless
        self._rows = {
            "flavors": [flavor(number) for number in range(rows)],
            "images": [image(number) for number in range(rows)],
        }

    def change(self, count: int) -> None:
        """Rename the first ``count`` images."""
        for row in self._rows["images"][:count]:
            row["name"] += "-again"

    def page(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """Return one page as Nova or Glance would."""
        key = LISTS[path]
        start = int(query.get("marker", ["0"])[0])
        end = start + min(int(query.get("limit", ["1000"])[0]), 1000)
        rows = self._rows[key]
        more = self._endless or end < len(rows)
        make = flavor if key == "flavors" else image
        found: dict[str, Any] = {key: [make(start + n) for n in range(10)] if self._endless else rows[start:end]}
        if more and key == "images":
            found["next"] = f"/v2/images?marker={end}"
        elif more:
            found["flavors_links"] = [{"rel": "next", "href": f"http://{HOST}{path}?marker={end}"}]
        return found


def flavor(number: int) -> dict[str, Any]:
    """Return a flavor as Nova tells it."""
    href = f"http://{HOST}/compute/v2.1/flavors/{number}"
    return {
        "id": f"{number:08d}-0000-4000-8000-000000000000", "name": f"m1.size-{number}", "ram": 512 * (1 + number % 64),
        "disk": 10 + number % 100, "vcpus": 1 + number % 32, "swap": "", "rxtx_factor": 1.0,
        "OS-FLV-DISABLED:disabled": False, "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True,
        "links": [{"rel": "self", "href": href}, {"rel": "bookmark", "href": href.replace("/v2.1", "")}],
    }  # fmt: skip


def image(number: int) -> dict[str, Any]:
    """Return an image as Glance tells it."""
    uuid = f"{number:08d}-1111-4000-8000-000000000000"
    system = ("debian", "12") if number % 2 else ("ubuntu", "24.04")
    return {
        "id": uuid, "name": f"{'-'.join(system)}-build-{number}", "status": "active", "visibility": "public",
        "architecture": "x86_64", "os_distro": system[0], "os_version": system[1], "min_ram": 0, "min_disk": 2,
        "size": 327_680_000 + number, "virtual_size": None, "checksum": f"{number:032x}", "protected": False,
        "container_format": "bare", "disk_format": "qcow2", "owner": "0123456789abcdef0123456789abcdef", "tags": [],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z", "self": f"/v2/images/{uuid}",
        "file": f"/v2/images/{uuid}/file", "schema": "/v2/schemas/image", "hw_disk_bus": "virtio",
    }  # fmt: skip


def token(base: str) -> dict[str, Any]:
    """Return what Keystone answers to a log-in."""
    catalog = [
        {"type": kind, "name": name, "endpoints": [{"url": at, "region": "RegionOne", "interface": "public"}]}
        for kind, name, at in ((kind, name, f"{base}/{kind}") for kind, name in KINDS.items())
    ]
    facts = {"expires_at": "2099-01-01T00:00:00.000000Z", "user": {"id": "u", "name": "demo"}, "roles": []}
    return {"token": facts | {"project": {"id": "p", "name": "demo"}, "catalog": catalog}}


def handler(cloud: LargeCloud) -> type[BaseHTTPRequestHandler]:
    """Return the HTTP side of ``cloud``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece

        def do_POST(self) -> None:
            asked = urlsplit(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if asked.path == "/_change":
                cloud.change(int(parse_qs(asked.query)["rows"][0]))
                self.answer(200, {})
                return
            self.answer(201, token(f"http://{self.headers['Host']}"))

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            known = asked.path in LISTS
            self.answer(200 if known else 404, cloud.page(asked.path, parse_qs(asked.query)) if known else {})

        def answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Subject-Token", "a-token")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:  # quiet
            pass

    return Handler


@contextmanager
def large_cloud(rows: int, *, endless: bool = False) -> Iterator[Address]:
    """Run the cloud's process until the block ends."""
    command = [sys.executable, "-m", "tests.support.large_cloud", "--rows", str(rows)]
    process = subprocess.Popen(
        [*command, *(["--endless"] if endless else [])], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        host, port = json.loads(process.stdout.readline())["listening"]
        yield Address(host=host, port=port)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def account(address: Address, platform: str = "platform_large") -> CloudAccount:
    """Return the account to log in with."""
    return CloudAccount(
        platform=PlatformId(platform), provider="openstack", region="RegionOne", account="demo",
        endpoint=ApprovedEndpoint(url=f"http://{HOST}:{address.port}", dial=address),
        secret=Secret("canary-large-secret"), options={"project": "demo"},
    )  # fmt: skip


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--endless", action="store_true")
    told = parser.parse_args()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(LargeCloud(told.rows, endless=told.endless))) as server:
        server.daemon_threads = True
        print(json.dumps({"listening": ["127.0.0.1", server.server_port]}), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
