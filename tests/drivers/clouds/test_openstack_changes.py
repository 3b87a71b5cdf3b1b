"""Rebuild, resize, rename and console at an emulated Nova that takes its time, as the real one does.

Nova's own order of states stands in its documentation: RESIZE, VERIFY_RESIZE, and back once it was confirmed.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

import pytest

from catalog.clouds import CloudDriver
from catalog.errors import CloudRefused
from catalog.ports import Address
from drivers.clouds.policy import CallPolicy
from tests.drivers.clouds.test_openstack import on, token

SERVER = "12064"
NEW_SIZE = "7"
POLICY = CallPolicy(deadline_s=20, look_again_s=0.001)


class Nova:
    """One server; each look at it brings a resize a step further. ``asked`` is whatever would change something."""

    def __init__(self, *, fails: bool = False, status: str = "ACTIVE") -> None:
        """Take how the server is; one that ``fails`` comes back from a resize as it was."""
        recorded = files("libcloud") / "test/compute/fixtures/openstack_v1_1/_servers_12064.json"
        self.server: dict[str, Any] = json.loads(recorded.read_bytes())["server"]
        self.server |= {"status": status, "metadata": {"crossway-order": "o1"}}
        self.fails = fails
        self.asked: list[dict[str, Any]] = []
        self._coming: list[dict[str, Any]] = []

    def look(self) -> dict[str, Any]:
        """Return the server as it is, and let time pass."""
        seen = dict(self.server)
        if self._coming:
            self.server |= self._coming.pop(0)
        return {"server": seen}

    def change(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Do what an action or an update asks for."""
        self.asked.append(wanted)
        match wanted:
            case {"rebuild": {"imageRef": image, **others}}:
                self.server |= {"image": {"id": image}, "status": "REBUILD", **others}
            case {"resize": {"flavorRef": size}}:
                self.server["status"] = "RESIZE"
                there = {"status": "VERIFY_RESIZE", "flavor": {"id": size}}
                failed = {"status": "ACTIVE", "fault": {"message": "no valid host"}}
                self._coming = [{}, failed if self.fails else there]
            case {"confirmResize": None}:
                self.server["status"] = "ACTIVE"
            case {"server": {"name": name}}:
                self.server["name"] = name
            case {"os-getConsoleOutput": {"length": length}}:
                return {"output": f"booted\n\x1b[31m{length} lines at most\nlogin:"}
        return {"server": self.server}


@contextmanager
def serving(nova: Nova) -> Iterator[Address]:
    """Serve it behind a Keystone whose catalog points to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v3/auth/tokens":
                self.answer(201, token(f"http://{self.headers['Host']}"))
            else:
                self.answer(202, json.dumps(nova.change(asked)).encode())

        do_PUT = do_POST  # noqa: N815 - the name that http.server looks for

        def do_GET(self) -> None:
            known = self.path.split("?")[0] == f"/compute/servers/{SERVER}"
            self.answer(200 if known else 404, json.dumps(nova.look()).encode() if known else b"{}")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            headers = {"Content-Type": "application/json", "X-Subject-Token": "a-token", "Content-Length": len(body)}
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:  # quiet
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Address(host="127.0.0.1", port=server.server_port)
        finally:
            server.shutdown()
            thread.join(20)


def test_a_rebuild_keeps_the_name_and_our_marks() -> None:
    """Only the image is sent: a name or metadata beside it would take the place of what is there."""
    nova = Nova()
    with serving(nova) as address:
        on(address, lambda driver: driver.rebuild(SERVER, "img-2"))
    assert nova.asked == [{"rebuild": {"imageRef": "img-2"}}]
    assert nova.server["metadata"] == {"crossway-order": "o1"}


def test_a_resize_is_asked_for_once_waited_for_and_confirmed() -> None:
    """While Nova moves the server it is looked at; what it shows as done is confirmed; asked again, nothing is sent."""
    nova = Nova()

    async def story(driver: CloudDriver) -> None:
        await driver.resize(SERVER, NEW_SIZE)
        await driver.resize(SERVER, NEW_SIZE)

    with serving(nova) as address:
        on(address, story, policy=POLICY)
    assert nova.asked == [{"resize": {"flavorRef": NEW_SIZE}}, {"confirmResize": None}]
    assert (nova.server["status"], nova.server["flavor"]["id"]) == ("ACTIVE", NEW_SIZE)


def test_a_resize_that_somebody_left_is_taken_up() -> None:
    """One that waits for its confirmation, since whoever asked for it was cut off, is confirmed and not begun anew."""
    nova = Nova(status="VERIFY_RESIZE")
    nova.server["flavor"] = {"id": NEW_SIZE}
    with serving(nova) as address:
        on(address, lambda driver: driver.resize(SERVER, NEW_SIZE), policy=POLICY)
    assert nova.asked == [{"confirmResize": None}]


def test_a_resize_that_nova_gives_up_is_refused_with_its_words() -> None:
    """The server comes back with its old size: asking for ever would not help."""
    nova = Nova(fails=True)
    with serving(nova) as address, pytest.raises(CloudRefused, match="no valid host") as refused:
        on(address, lambda driver: driver.resize(SERVER, NEW_SIZE), policy=POLICY)
    assert refused.value.field == "size"
    assert len(nova.asked) == 1


def test_a_server_is_renamed_and_its_console_is_read() -> None:
    """The name alone is sent; of the console come printable lines, and no more than are asked for."""
    nova = Nova()

    async def story(driver: CloudDriver) -> str:
        await driver.rename(SERVER, "web-1")
        return await driver.console(SERVER)

    with serving(nova) as address:
        told = on(address, story)
    assert nova.asked[0] == {"server": {"name": "web-1"}}
    assert told.splitlines() == ["booted", "[31m1000 lines at most", "login:"]
