"""Whose socket is at the other end: asked of the real kernel, over IPv4 and IPv6."""

import os
import socket

import pytest

from gateway.streams.owner import can_tell, uid_of


@pytest.mark.parametrize(
    ("listen", "dial"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("127.0.0.1", "::ffff:127.0.0.1", id="IPv4 dialled from an IPv6 socket"),
    ],
)
def test_a_connection_is_its_programs_users(listen: str, dial: str) -> None:
    """The uid is ours while the program holds its socket, and nobody's once it has closed it."""
    assert can_tell()
    with socket.create_server((listen, 0), family=socket.AF_INET6 if ":" in listen else socket.AF_INET) as listener:
        dialling = socket.socket(socket.AF_INET6 if ":" in dial else socket.AF_INET)
        dialling.connect((dial, listener.getsockname()[1]))
        accepted, _ = listener.accept()
        with accepted:
            ends = accepted.getpeername()[:2], accepted.getsockname()[:2]
            assert uid_of(*ends) == os.geteuid()
            dialling.close()
            assert uid_of(*ends) is None


def test_a_connection_that_is_not_there_is_nobodys() -> None:
    """Ends that no socket has are told as None, which is nobody's uid and not root's."""
    assert uid_of(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
