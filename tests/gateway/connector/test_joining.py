"""Ports that lead to other platforms: each is had before anything else begins, or the owner is told which is not."""

import socket

import pytest

from catalog.errors import InvalidValue
from catalog.ports import Address
from gateway.connector.joining import open_joins
from gateway.connector.outward import Join
from tests.support.sshd import free_port

TO = Address(host="db.south.internal", port=5432)


def join(port: int) -> Join:
    """Return a join that listens at ``port`` of loopback."""
    return Join(listen=Address(host="127.0.0.1", port=port), platform="south", to=TO)


def test_ports_are_open_while_the_block_lasts() -> None:
    """Each join has its own; afterwards both can be had again."""
    ports = [free_port(), free_port()]
    for _ in range(2):
        with open_joins([join(port) for port in ports]) as joins:
            assert [listener.getsockname()[1] for _, listener in joins] == ports
            for port in ports:
                socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_in_use_is_told_and_nothing_stays_open() -> None:
    """The message names the address; the ports that could be had are given back."""
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidValue, match=f"127.0.0.1:{port}") as refused, open_joins([join(free), join(port)]):
            pass
    assert refused.value.field == "join.listen"
    with open_joins([join(free)]):
        pass
