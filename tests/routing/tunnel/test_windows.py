"""Windows from delays, worked out by hand."""

import pytest

from routing.tunnel.windows import window_for

_MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("round_trip_s", "expected"),
    [
        pytest.param(0.0, _MIB, id="no delay, the least"),
        pytest.param(0.005, _MIB, id="5 ms have 312,500 under way, less than the least"),
        pytest.param(0.04, 3_125_000, id="500 Mbit/s are 62.5 MB/s: 2.5 MB in 40 ms, and a quarter more"),
        pytest.param(0.3, 4 * _MIB, id="300 ms would need 23 MB: the limit"),
    ],
)
def test_a_window_carries_the_rate_up_to_the_limit(round_trip_s: float, expected: int) -> None:
    """The window is what the rate has under way and a quarter more, at least 1 MiB and at most the limit."""
    assert window_for(round_trip_s, rate_mbps=500, limit_bytes=4 * _MIB) == expected


def test_the_limit_is_stronger_than_the_least() -> None:
    """A limit below 1 MiB holds: it bounds memory."""
    assert window_for(0.0, rate_mbps=500, limit_bytes=65536) == 65536
