"""What this process may do, asked by trying."""

from routing.probe.icmp import open_icmp_socket


def raw_sockets_allowed() -> bool:
    """Return whether this thread may open a raw socket now."""
    try:
        open_icmp_socket().close()
    except PermissionError:
        return False
    return True
