"""How many channels an upload wants, worked out by hand."""

import pytest

from routing.tunnel.stripes import stripes_for


@pytest.mark.parametrize(
    ("round_trip_s", "expected"),
    [
        pytest.param(0.0, 1, id="no delay"),
        pytest.param(0.016, 1, id="2.0 MB in two round trips fit into 2 MiB"),
        pytest.param(0.018, 2, id="2.25 MB do not"),
        pytest.param(0.05, 3, id="6.25 MB are 2.98 windows"),
        pytest.param(0.4, 8, id="24 would be needed: the limit"),
    ],
)
def test_channels_together_hold_what_is_under_way(round_trip_s: float, expected: int) -> None:
    """At 500 Mbit/s, 62.5 MB/s, two round trips' worth is spread over channels of 2 MiB each."""
    assert stripes_for(round_trip_s, rate_mbps=500, limit=8) == expected
