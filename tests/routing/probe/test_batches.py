"""Many datagrams are read at once: whole, in order, each with the kernel's stamp, and what was dropped is counted."""

import socket
from collections.abc import Iterator

import pytest

from routing.probe.batches import AT_ONCE, BatchReader
from routing.probe.stamps import real_ns

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return two UDP sockets on loopback: the kernel stamps their datagrams as it does those of a raw socket."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.bind(("127.0.0.1", 0))
        one.connect(other.getsockname())
        yield one, other


def test_batches_are_whole_and_in_order(pair: Pair) -> None:
    """130 datagrams come as 64, 64 and 2, each with a stamp between sending and reading, in order; then nothing."""
    sender, receiver = pair
    reader = BatchReader(receiver)
    before_ns = real_ns()
    sent = [str(number).encode() * 5 for number in range(2 * AT_ONCE + 2)]
    for datagram in sent:
        sender.send(datagram)
    after_ns = real_ns()
    batches = [list(reader.read()) for _ in range(4)]
    assert [len(batch) for batch in batches] == [64, 64, 2, 0]
    read = [each for batch in batches for each in batch]
    assert [datagram for datagram, _ in read] == sent
    stamps = [stamp_ns for _, stamp_ns in read if stamp_ns is not None]
    assert len(stamps) == len(sent)
    assert before_ns <= stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= after_ns
    assert reader.overrun == 0


def test_long_datagrams_are_cut(pair: Pair) -> None:
    """Of 1,000 bytes the first 256 are read, and the next datagram is not disturbed."""
    sender, receiver = pair
    reader = BatchReader(receiver)
    sender.send(b"x" * 1000)
    sender.send(b"next")
    assert [datagram for datagram, _ in reader.read()] == [b"x" * 256, b"next"]


def test_what_a_full_socket_drops_is_counted(pair: Pair) -> None:
    """Of 500 datagrams to a small buffer some are dropped; the next one that fits says exactly how many."""
    sender, receiver = pair
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    reader = BatchReader(receiver)
    for _ in range(500):
        sender.send(b"x" * 100)
    read = 0
    while batch := list(reader.read()):
        read += len(batch)
    sender.send(b"last")
    assert [datagram for datagram, _ in reader.read()] == [b"last"]
    assert 0 < read < 500
    assert reader.overrun == 500 - read


def test_a_socket_without_datagrams_is_no_error(pair: Pair) -> None:
    """An empty socket yields nothing at once, and so does one whose last datagram nobody took."""
    sender, receiver = pair
    reader = BatchReader(sender)
    assert list(reader.read()) == []
    receiver.close()
    sender.send(b"to nobody")
    assert list(reader.read()) == []
