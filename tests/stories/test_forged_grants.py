"""Whoever sits between the exit relay and the connector can neither forge a grant, nor replay one, nor prolong it."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from catalog.messages.handshake_json import AUTHORIZATIONS_PATH
from tests.support.small_world import GRANT_ALL, PATIENCE_S, SERVICES, SmallWorld, small_world
from tests.support.waiting import wait_until

# Long enough to be accepted and put on offer, short enough to see its end.
LASTS_S = 12
EXPIRING = GRANT_ALL.replace('decision = "grant"', f'decision = "grant"\nexpires_after_s = {LASTS_S}')

Answer = Callable[[bytes], bytes]


class Between:
    """An HTTP server in front of a connector; ``answer`` makes of each of its decisions what the gateway gets."""

    def __init__(self, connector_port: int) -> None:
        self.answer: Answer = lambda honest: honest
        self.seen: list[bytes] = []
        between = self

        class Handler(BaseHTTPRequestHandler):
            """Passes on, and alters decisions."""

            def do_POST(self) -> None:
                """Answer as the connector does, or otherwise."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                connection = http.client.HTTPConnection("127.0.0.1", connector_port, timeout=PATIENCE_S)
                connection.request("POST", self.path, body, dict(self.headers))
                honest = connection.getresponse()
                told = honest.read()
                connection.close()
                if self.path == AUTHORIZATIONS_PATH and honest.status == http.client.OK:
                    between.seen.append(told)
                    told = between.answer(told)
                self.send_response(honest.status)
                self.send_header("Content-Type", honest.headers["Content-Type"])
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def widened(honest: bytes) -> bytes:
    """Return the decision with a greater quota and no end, under the signature of the one that was made."""
    message: dict[str, Any] = json.loads(honest)
    for grant in message["payload"]["granted"]:
        grant |= {"quota": 1000, "expires_at_s": None}
    return json.dumps(message).encode()


def states(world: SmallWorld) -> set[str]:
    """Return the states of the grants."""
    return {each["state"] for each in world.admin.grants.list()}


def test_a_forged_a_replayed_and_an_expired_grant_are_refused(tmp_path: Path) -> None:
    """Forged: the connection fails, nothing is granted. Replayed: it runs out. With the owner's own word it is back."""
    with small_world(tmp_path, policy=EXPIRING) as world:
        between = Between(world.connector_port)
        with between.serving():
            world.connector_port = between.port
            world.start_gateway()
            world.declare_network()
            world.enrol()
            world.admin.grant_rules.create(platform="*", capability="*")
            between.answer = widened
            connection = world.platform.connections.request()["id"]
            failed = world.wait_connection(connection, "failed")
            assert failed["code"] == "cloud-misbehaved"
            assert "signature" in failed["reason"]
            assert states(world) == {"requested"}
            assert list(world.admin.offers.list()) == []

            between.answer = lambda honest: honest
            world.platform.connections.reroute(connection)
            world.wait_connection(connection, "established")
            wait_until(lambda: world.on_offer() == set(SERVICES), "all is on offer", patience_s=PATIENCE_S)
            granted = between.seen[-1]

            # From now on every question is answered with what was once granted, signed and all.
            between.answer = lambda _honest: granted
            # Over, or over and asked for anew, in vain.
            over = {"expired", "requested"}
            wait_until(lambda: states(world) <= over, "what was granted has run out", patience_s=PATIENCE_S)
            assert world.on_offer() == set()

            between.answer = lambda honest: honest
            wait_until(lambda: world.on_offer() == set(SERVICES), "the owner's own word", patience_s=PATIENCE_S)
