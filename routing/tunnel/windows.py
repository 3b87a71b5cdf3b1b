"""How much may be under way at once: a channel's window from the delay of the path. Pure.

Window is given back as soon as an eighth of it is used up (``channels``), so a transfer gets at least seven eighths of
its window in each round trip. More window than the path has under way is no reserve but a burden: the rest piles up at
the far sshd, whose buffer grows in steps of 32 KiB and is copied whole at each. Measured over 50 ms: with 4 MiB
a transfer is fastest; with 8 MiB and more it can fall to a tenth until the buffer has stopped growing.
"""

_LEAST_BYTES = 1024 * 1024  # keeps both ends busy where there is no delay
_MARGIN = 1.25  # an eighth is always on its way back, and a sender needs some time


def window_for(round_trip_s: float, *, rate_mbps: float, limit_bytes: int) -> int:
    """Return the window, in bytes, that carries ``rate_mbps`` over a path of ``round_trip_s``; at most the limit."""
    return min(max(_LEAST_BYTES, round(_MARGIN * rate_mbps * 1e6 / 8 * round_trip_s)), limit_bytes)
