"""Speak to a private OpenStack as its administrator or its customers do, past the product."""

import http.client
import json
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from tests.support.openstack_cloud.places import Places

TIMEOUT_S: Final = 120.0
ADMIN, ADMIN_PASSWORD = "admin", "admin-words"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer: ``body`` is the JSON document, None where there is none."""

    status: int
    headers: Mapping[str, str]
    body: Any


def call(
    places: Places, program: str, method: str, path: str, body: object = None, *, token: str | None = None
) -> Answer:
    """Return the answer of one of the cloud's programs. ``body`` is JSON, or bytes that are sent as they are."""
    raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["X-Auth-Token"] = token
    if raw is not None:
        headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", places.ports[program], timeout=TIMEOUT_S)
    try:
        connection.request(method, path, raw, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    document = json.loads(text) if text[:1] in {b"{", b"["} else None
    told = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(status=answer.status, headers=told, body=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody with a token."""

    places: Places
    token: str
    project: str

    def ask(self, program: str, method: str, path: str, body: object = None) -> Any:
        """Return the document of a good answer, None where it holds none.

        A service that is busy, or that Keystone keeps waiting, says 503 and has done nothing: it is asked again.
        """
        answer = call(self.places, program, method, path, body, token=self.token)
        ends_s = time.monotonic() + TIMEOUT_S
        while answer.status == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < ends_s:
            select.select([], [], [], 1.0)
            answer = call(self.places, program, method, path, body, token=self.token)
        assert answer.status in {200, 201, 202, 204}, f"{method} {program} {path}: {answer.status} {answer.body}"
        return answer.body

    def named(self, program: str, path: str, name: str) -> dict[str, Any]:
        """Return the one thing of this name in the collection at ``path``."""
        listed = self.ask(program, "GET", path)[path.rpartition("/")[2]]
        (found,) = [each for each in listed if each["name"] == name]
        return dict(found)


def log_in(places: Places, user: str, password: str, project: str) -> Customer:
    """Return the user with a token for the project."""
    default = {"id": "default"}
    who = {"methods": ["password"], "password": {"user": {"name": user, "domain": default, "password": password}}}
    scope = {"project": {"name": project, "domain": default}}
    answer = call(places, "keystone", "POST", "/v3/auth/tokens", {"auth": {"identity": who, "scope": scope}})
    assert answer.status == 201, (user, answer.status, answer.body)
    return Customer(
        places=places, token=answer.headers["x-subject-token"], project=str(answer.body["token"]["project"]["id"])
    )


def administrator(places: Places) -> Customer:
    """Return the administrator, logged in."""
    return log_in(places, ADMIN, ADMIN_PASSWORD, "admin")
