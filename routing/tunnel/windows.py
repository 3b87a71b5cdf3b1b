"""How much may be under way at once: a channel's window from the delay of the path. Pure.

A window is given back as it is used up (``channels``), so a transfer gets at most ``7/8 * window / round trip``. Twice
what the rate asks for leaves room for a path that is slower than when it was measured, and for the far sshd's bursts.
"""

_LEAST_BYTES = 1024 * 1024  # what a path of no delay needs to keep both ends busy
_MARGIN = 2


def window_for(round_trip_s: float, *, rate_mbps: float, limit_bytes: int) -> int:
    """Return the window, in bytes, that carries ``rate_mbps`` over a path of ``round_trip_s``; at most the limit."""
    under_way = rate_mbps * 1e6 / 8 * round_trip_s
    return min(max(_LEAST_BYTES, round(_MARGIN * under_way)), limit_bytes)
