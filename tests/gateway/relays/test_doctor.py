"""What the doctor finds at real sshds, each with one thing wrong."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from catalog.model.ids import RelayId, SiteId
from catalog.model.network import Relay
from catalog.permits import RESTRICTIONS
from catalog.relay_care import KeyFile
from gateway.relays.doctor import Doctor, Patient
from gateway.relays.facts import judged
from gateway.relays.reach import Reach
from gateway.relays.ssh_keys import public_line
from routing.topology import Address, Node, NodeKind, SiteLink, Topology
from routing.tunnel.policy import TunnelCredentials, TunnelPolicy
from tests.support.clocks import ManualClock
from tests.support.sshd import Sshd, free_port

KEY = asyncssh.generate_private_key("ssh-ed25519")
AUTHORITY = asyncssh.generate_private_key("ssh-ed25519")
PERMIT = ',permitopen="127.0.0.1:1"'


def examined(
    sshd: Sshd, *, host_key: str | None = None, addresses: Sequence[str] = (), dials_s: float = 20.0, **node: Any
) -> dict[str, Any]:
    """Return the findings at ``sshd`` by check, each as (ok, detail, fix)."""
    relay = Node(
        name="r", kind=NodeKind.RELAY, site="s", address=Address("127.0.0.1", sshd.port), user=sshd.user,
        host_key=host_key or sshd.host_key, **node,
    )  # fmt: skip
    gateway = Node(name="gateway", kind=NodeKind.GATEWAY, site="g")
    network = Topology(gateway=gateway, relays=(relay,), links=(SiteLink(source="g", target="s"),))
    row = Relay(
        id=RelayId("relay_1"), name="r", site_id=SiteId("site_1"), host="127.0.0.1", user=sshd.user,
        host_key=relay.host_key,
    )  # fmt: skip
    credentials = TunnelCredentials(client_key=KEY, authority=AUTHORITY)
    doctor = Doctor(
        reach=Reach(credentials=credentials, policy=TunnelPolicy()),
        caretaker=credentials,
        clock=ManualClock(),
        sockets=(str(sshd.directory / "socket"),),
        dials_s=dials_s,
    )
    wanted = KeyFile(addresses=("127.0.0.1:1", *addresses), keys=())
    patient = Patient(network=network, way=("r",), node=relay, relay=row, wanted=wanted)
    found = asyncio.run(doctor.examine(patient, {}))
    return {str(each["check"]): each for each in found}


def line(options: str = RESTRICTIONS + PERMIT) -> str:
    """Return our key as an account's key file has it."""
    return f"{options} {public_line(KEY)}".strip()


def test_nothing_is_wrong_with_a_locked_down_relay(tmp_path: Path) -> None:
    """Every check that can be made is well."""
    with Sshd(tmp_path, line()) as sshd:
        found = examined(sshd)
    assert {check for check, finding in found.items() if finding["ok"] is True} == {
        "enabled", "reachable", "host-key", "algorithms", "log-in", "forwarding", "refuses other addresses",
        "refuses commands", "refuses listening ports",
    }  # fmt: skip
    assert [finding["check"] for finding in found.values() if finding["ok"] is False] == []


@pytest.mark.parametrize(
    ("options", "config", "check", "fix"),
    [
        pytest.param("restrict", "", "forwarding", "port-forwarding, permitopen", id="key forwards nothing"),
        pytest.param("restrict,port-forwarding", "", "refuses other addresses", "permitopen", id="every address"),
        pytest.param(
            PERMIT[1:], "MaxSessions 5", "refuses commands", 'restrict,command="/bin/false"', id="runs commands"
        ),
        pytest.param(
            "restrict,port-forwarding" + PERMIT, "PermitListen any\nAllowTcpForwarding yes", "refuses listening ports",
            'permitlisten="localhost:1"', id="listens",
        ),
        pytest.param(
            "restrict,port-forwarding", "AllowStreamLocalForwarding yes", "refuses unix sockets",
            "AllowStreamLocalForwarding no", id="unix sockets",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_would_be_right(
    tmp_path: Path, options: str, config: str, check: str, fix: str
) -> None:
    """What is wrong is found by the check of that name."""
    with Sshd(tmp_path, line(options), first=config) as sshd, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        found = examined(sshd)
    assert found[check]["ok"] is False, found
    assert fix in found[check]["fix"]


def test_a_wrong_host_key(tmp_path: Path) -> None:
    """Nothing else is tried at a host that is not the one that was pinned."""
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    with Sshd(tmp_path, line()) as sshd:
        found = examined(sshd, host_key=other)
    assert found["host-key"]["ok"] is False
    assert "forwarding" not in found


def test_a_key_that_is_not_let_in(tmp_path: Path) -> None:
    """The log-in is what is wrong, and bootstrap is what helps."""
    stranger = public_line(asyncssh.generate_private_key("ssh-ed25519"))
    with Sshd(tmp_path, stranger) as sshd:
        found = examined(sshd)
    assert "bootstrap" in found["log-in"]["fix"]


def test_a_relay_without_our_ciphers(tmp_path: Path) -> None:
    """The error says which algorithms would be right."""
    with Sshd(tmp_path, line(), config="Ciphers aes256-ctr") as sshd:
        found = examined(sshd)
    assert "aes128-gcm@openssh.com" in found["algorithms"]["fix"]


def test_nobody_listens(tmp_path: Path) -> None:
    """A host that is down is told from one that refuses us."""
    sshd = Sshd(tmp_path, line())
    sshd.port = free_port()
    assert "start sshd there" in examined(sshd)["reachable"]["fix"]


def test_an_address_on_the_list_that_is_not_permitted(tmp_path: Path) -> None:
    """What should be permitted is dialled: refused and unanswered are told apart."""
    closed = f"127.0.0.1:{free_port()}"
    options = f'{RESTRICTIONS}{PERMIT},permitopen="{closed}"'
    with Sshd(tmp_path, line(options)) as sshd:
        found = examined(sshd, addresses=[closed, "127.0.0.1:9"])
    assert "is that host up" in found[f"permits {closed}"]["fix"]
    assert "bootstrap" in found["permits 127.0.0.1:9"]["fix"]


def test_addresses_for_which_no_time_is_left_are_neither_well_nor_wrong(tmp_path: Path) -> None:
    """A granted network in which nobody answers does not keep the other checks from being made."""
    dark = [f"10.9.9.{number}:22" for number in range(200)]
    with Sshd(tmp_path, line()) as sshd:
        found = examined(sshd, addresses=dark, dials_s=0.0)
    assert [found[f"permits {each}"]["ok"] for each in dark] == [None] * 200
    assert found["refuses other addresses"]["ok"] is True


def test_certificates_are_let_in_by_their_authority_alone(tmp_path: Path) -> None:
    """A cert-authority line lets in what our authority signed a moment ago."""
    with Sshd(tmp_path, f"cert-authority,{RESTRICTIONS}{PERMIT} {public_line(AUTHORITY)}") as sshd:
        assert examined(sshd, certified=True)["log-in"]["ok"] is True
        assert examined(sshd)["log-in"]["ok"] is False


def test_facts_are_judged_by_hand_made_numbers() -> None:
    """31 s is too much skew, 1024 files and 10 connections at once are too few; what is unknown is not judged."""
    found = judged({"clock": "1031", "nofile": "1024", "maxstartups": ""}, 1000.0)
    assert [(each["check"], each["ok"]) for each in found] == [
        ("clock", False),
        ("nofile", False),
        ("maxstartups", False),
    ]
    well = judged({"clock": "1030", "nofile": "unlimited", "maxstartups": "100:30:200"}, 1000.0)
    assert [each["ok"] for each in well] == [True, True, True]
    assert judged({}, 1000.0) == []
