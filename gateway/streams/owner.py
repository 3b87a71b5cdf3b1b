"""Whose socket is at the other end of a loopback connection? The kernel's table of TCP sockets says it.

Linux only. What cannot be told is told as None, and whoever asks refuses then.
"""

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_WORD_BYTES = 4
# Fields of a line, after https://docs.kernel.org/networking/proc_net_tcp.html
_LOCAL, _REMOTE, _UID, _INODE = 1, 2, 7, 9
_V4 = 4

Ends = tuple[str, int]


def can_tell() -> bool:
    """Return whether this system has the table at all."""
    return TABLES[0].exists()


def uid_of(peer: Ends, ours: Ends) -> int | None:
    """Return the uid whose socket is bound to ``peer`` and connected to ``ours``; None when nobody's is (any more).

    A socket that its program has closed has no inode, and the table says uid 0 of it: it is nobody's.
    """
    wanted = {(peer, ours), (_mapped(peer), _mapped(ours))}
    for local, remote, uid, inode in _sockets():
        if (local, remote) in wanted:
            return uid if inode else None
    return None


def _sockets() -> Iterator[tuple[Ends, Ends, int, int]]:
    for table in TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            yield _ends(fields[_LOCAL]), _ends(fields[_REMOTE]), int(fields[_UID]), int(fields[_INODE])


def _ends(text: str) -> Ends:
    """Return address and port of ``0100007F:1F90``: words of four bytes, each in the host's own byte order."""
    words, _, port = text.partition(":")
    raw = bytes.fromhex(words)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + _WORD_BYTES][::-1] for at in range(0, len(raw), _WORD_BYTES))
    family = socket.AF_INET if len(raw) == _WORD_BYTES else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)


def _mapped(ends: Ends) -> Ends:
    """Return IPv4 ends as an IPv6 socket has them: the peer may be one."""
    host, port = ends
    if ipaddress.ip_address(host).version != _V4:
        return ends
    return socket.inet_ntop(socket.AF_INET6, ipaddress.IPv6Address(f"::ffff:{host}").packed), port
