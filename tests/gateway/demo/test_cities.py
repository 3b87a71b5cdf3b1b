"""The demo's map shows what relays are for: one platform needs two, one needs one, one needs none."""

from itertools import permutations

import pytest

from gateway.demo.cities import GATEWAY, PLATFORMS, RELAYS, links, rtt_ms
from gateway.demo.wan.link import LinkSettings, WanError


@pytest.mark.parametrize(
    ("platform", "expected", "margin_ms"),
    [
        # 4 + 83 + 10; next by Frankfurt and Bahrain 14 + 84 + 10 = 108, by Bahrain alone 105 + 10 = 115
        pytest.param("dubai", ["relay-london", "relay-bahrain"], 11, id="two relays"),
        # 4 + 110; next by London and Bahrain 4 + 83 + 36 = 123
        pytest.param("mumbai", ["relay-london"], 9, id="one relay"),
        # 87; next by Virginia 77 + 11 = 88, which a relay's own cost makes clearer
        pytest.param("ohio", [], 1, id="direct"),
    ],
)
def test_the_best_route_by_round_trip(platform: str, expected: list[str], margin_ms: int) -> None:
    """All routes over up to two relays are tried; the best and its margin are as worked out by hand."""
    sites = [relay.site for relay in RELAYS]
    routes = [list(route) for count in range(3) for route in permutations(sites, count)]
    ranked = sorted(routes, key=lambda route: rtt_ms(GATEWAY.site, *route, platform))

    assert ranked[0] == expected
    best, second = (rtt_ms(GATEWAY.site, *route, platform) for route in ranked[:2])
    assert second - best == margin_ms


def test_the_map_is_complete_and_only_relays_join_platforms() -> None:
    """Ten sites have 45 pairs; the three between platforms are no links. Every link's settings are possible."""
    found = {frozenset((link.a, link.b)) for link in links()}
    platforms = {platform.site for platform in PLATFORMS}
    assert len(links()) == len(found) == 42
    assert not any(pair <= platforms for pair in found)
    for link in links():
        assert LinkSettings().changed(**link.settings).delay_ms * 2 == link.rtt_ms


def test_light_is_not_outrun() -> None:
    """No RTT is below that of light in fibre (200 km per ms) over nearly the great circle: the data are sane."""
    assert rtt_ms("relay-london", "relay-tokyo") > 2 * 9_560 / 200
    assert rtt_ms("relay-bahrain", "relay-singapore") > 2 * 6_300 / 200


def test_an_unknown_link_is_refused() -> None:
    """Platforms have no link to each other, and asking for one says so."""
    with pytest.raises(WanError, match="no link between dubai and ohio"):
        rtt_ms("gateway", "dubai", "ohio")
