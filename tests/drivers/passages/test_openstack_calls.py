"""Which OpenStack call needs what: the table by examples, and everything else refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Denied
from catalog.messages.handshake import CAPABILITY_VERBS, Capability
from catalog.ports import Asked, PassageCall
from drivers.passages.openstack_calls import TABLES, asked, query

PROJECT = "0123456789abcdef0123456789abcdef"
SERVER = "/compute/v2.1/servers/11111111-2222-3333-4444-555555555555"


def call(line: str, body: object = None, *, raw: bytes = b"") -> PassageCall:
    """Return the call ``METHOD path?query``."""
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    sent = raw if body is None else json.dumps(body).encode()
    return PassageCall(method=method, address="http://gw/p", path=path, query=query, body=sent)


def server(**fields: Any) -> dict[str, Any]:
    """Return the body of a create."""
    return {"server": {"name": "a", "imageRef": "i", "flavorRef": "f", "networks": "none", **fields}}


@pytest.mark.parametrize(
    ("line", "body", "needs"),
    [
        ("GET /compute/v2.1/servers/detail?deleted=False&limit=1&all_tenants=0", None, "machine:list"),
        (f"GET /compute/v2.1/{PROJECT}/servers", None, "machine:list"),
        (f"GET {SERVER}", None, "machine:list"),
        (f"GET {SERVER}/os-interface", None, "machine:list"),
        ("POST /compute/v2.1/servers", server(), "machine:create"),
        (f"DELETE {SERVER}", None, "machine:destroy"),
        (f"POST {SERVER}/action", {"os-start": None}, "machine:start"),
        (f"POST {SERVER}/action", {"os-stop": None}, "machine:stop"),
        (f"POST {SERVER}/action", {"reboot": {"type": "HARD"}}, "machine:reboot"),
        (f"POST {SERVER}/action", {"os-getConsoleOutput": {"length": 50}}, "machine:console"),
        ("GET /compute/v2.1/flavors/detail?is_public=None", None, "size:list"),
        ("GET /compute/v2.1/flavors/m1.tiny/os-extra_specs", None, "size:list"),
        ("GET /compute/v2.1/os-availability-zone", None, "location:list"),
        ("GET /compute/v2.1/os-keypairs/my%20key", None, "key-pair:list"),
        ("GET /image/v2/images?limit=20", None, "image:list"),
        ("GET /image/v2/schemas/image", None, "image:list"),
        (f"GET /volumev3/v3/{PROJECT}/volumes/detail", None, "volume:list"),
        ("GET /block-storage/v3/volumes/v1", None, "volume:list"),
        ("GET /compute/", None, ":"),
        ("GET /compute/v2.1", None, ":"),
        ("GET /identity/v3", None, ":"),
        ("POST /identity/v3/auth/tokens", {"auth": {}}, ":"),
        ("GET /identity/v3/auth/catalog", None, ":"),
    ],
)
def test_what_is_covered(line: str, body: object, needs: str) -> None:
    """Each call a client makes for a granted capability, with the capability and verb it needs."""
    found = asked(call(line, body))
    assert f"{found.capability}:{found.verb}" == needs
    assert found.is_local == line.split()[1].startswith("/identity")


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("GET /network/v2.0/networks", None),
        ("GET /identity/v3/users", None),
        ("GET /identity/v3/auth/tokens", None),
        ("DELETE /identity/v3/auth/tokens", None),
        ("PUT /compute/v2.1/servers/a", {"server": {"name": "b"}}),
        ("POST /compute/v2.1/os-keypairs", {"keypair": {"name": "k"}}),
        (f"POST {SERVER}/remote-consoles", {"remote_console": {}}),
        (f"POST {SERVER}/action", {"createImage": {}}),
        (f"POST {SERVER}/action", {"rebuild": {"imageRef": "i"}}),
        (f"POST {SERVER}/action", {"resize": {"flavorRef": "f"}}),
        (f"POST {SERVER}/action", {"os-start": None, "createBackup": {}}),
        (f"POST {SERVER}/action", {}),
        (f"POST {SERVER}/action", [{"os-start": None}]),
        ("GET /compute/v2.1/servers/detail?all_tenants=1", None),
        ("GET /compute/v2.1/servers/detail?all_tenants", None),
        ("GET /compute/v2.1/servers/detail?all_tenants=", None),
        ("GET /compute/v2.1/servers?project_id=other", None),
        ("GET /image/v2/images/i/file", None),
        ("PUT /image/v2/images/i/file", None),
        ("DELETE /volumev3/v3/volumes/v", None),
        ("POST /compute/v2.1/servers", server(block_device_mapping_v2=[{"destination_type": "volume"}])),
        ("POST /compute/v2.1/servers", server(block_device_mapping=[{}])),
        ("POST /compute/v2.1/servers", server(personality=[])),
        ("POST /compute/v2.1/servers", {**server(), "os:scheduler_hints": {}}),
        ("POST /compute/v2.1/servers", {"server": []}),
        ("GET /compute/v2.1/servers/../flavors", None),
        ("GET /compute/v2.1/servers/%2e%2e/flavors", None),
        ("GET /compute/v2.1/servers/a%2Fdetail", None),
        ("GET /compute//v2.1/servers", None),
        ("GET /compute/v2.1/servers;x", None),
        ("GET /", None),
        ("GET ", None),
        ("get /compute/v2.1/servers", None),
        ("HEAD /compute/v2.1/servers", None),
        ("OPTIONS /compute/v2.1/servers", None),
    ],
)
def test_what_is_not_known_is_refused(line: str, body: object) -> None:
    """Another service, method, path, action or attribute than those of the tables."""
    with pytest.raises(Denied):
        asked(call(line, body))


def test_a_body_that_two_readers_could_read_in_two_ways_is_refused() -> None:
    """A name that stands twice hides one of its values."""
    with pytest.raises(Denied):
        asked(call(f"POST {SERVER}/action", raw=b'{"reboot": {"type": "SOFT"}, "reboot": {"type": "HARD"}}'))
    with pytest.raises(Denied):
        asked(call("POST /compute/v2.1/servers", raw=b"[" * 100_000))


def test_a_query_that_two_readers_could_read_in_two_ways_is_written_as_it_was_checked() -> None:
    """Some servers part parameters by a semicolon too; what was one value here is one value there."""
    checked = call("GET /compute/v2.1/servers?limit=1;all_tenants=1&name=a%20b")
    assert asked(checked).capability == Capability.MACHINE
    assert query(checked) == "limit=1%3Ball_tenants%3D1&name=a+b"


def test_every_row_names_what_can_be_granted() -> None:
    """The tables name only capabilities and verbs of the handshake."""
    for rows in TABLES.values():
        for row in rows:
            assert row.verb in CAPABILITY_VERBS[row.capability]


@given(
    method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
    service=st.sampled_from([*TABLES, "identity"]),
    rest=st.lists(
        st.sampled_from(["v2.1", "v3", "v2", "servers", "images", "volumes", "os-keypairs", "action", "a", "..", ""]),
        max_size=5,
    ),
    body=st.sampled_from([b"", b"{}", b'{"os-start": null}', b'{"server": {}}', b"x"]),
)
def test_whatever_may_change_something_needs_a_verb_of_machine(
    method: str, service: str, rest: list[str], body: bytes
) -> None:
    """Of all made-up calls that are no reads, those let through are a log-in or need a verb that changes machines."""
    made = PassageCall(method=method, address="http://gw/p", path="/".join(["", service, *rest]), body=body)
    try:
        found = asked(made)
    except Denied:
        return
    assert found == Asked(what="identity POST /v3/auth/tokens", is_local=True) or (
        found.capability == Capability.MACHINE and found.verb not in {"", "list"}
    )
