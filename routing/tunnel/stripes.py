"""Over how many channels an upload should go at once. Pure.

An sshd lets 2 MiB be under way on a channel and cannot be told otherwise. It gives window back early, but in small
packets, of which its TCP (Nagle's algorithm) sends one in a round trip; so one channel carries 2 MiB in two round
trips, whoever the client is. Channels side by side carry that each. Nothing joins them again at the far end of a
plain relay, so this is for callers that have parts to send: the parts of one object, or many objects.
"""

import math

_SSHD_WINDOW_BYTES = 2 * 1024 * 1024
_ROUND_TRIPS = 2


def stripes_for(round_trip_s: float, *, rate_mbps: float, limit: int) -> int:
    """Return how many channels together carry ``rate_mbps`` upwards over ``round_trip_s``; 1 to ``limit``."""
    under_way_bytes = rate_mbps * 1e6 / 8 * round_trip_s * _ROUND_TRIPS
    return min(max(1, math.ceil(under_way_bytes / _SSHD_WINDOW_BYTES)), limit)
