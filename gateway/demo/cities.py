"""The demo's world map: six relay cities, the gateway and three platforms, with measured round-trip times.

The RTTs are facts: medians between cloud regions by the Skyplane project (Apache-2.0), both directions
averaged, rounded to 1 ms. Jitter and loss are synthetic: no public matrix of per-pair loss exists.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.demo.wan.link import LinkChanges, WanError

RTT_SOURCE: Final = "Skyplane project, Apache-2.0, rounded to 1 ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """A place on the map: where one site of the demo stands."""

    site: str  # the site's and the WAN host's name
    city: str
    region: str  # the cloud region whose measurements stand for it
    latitude: float
    longitude: float


GATEWAY: Final = City(site="gateway", city="London", region="gcp:europe-west2-a", latitude=51.5, longitude=-0.1)
RELAYS: Final = (
    City(site="relay-london", city="London", region="aws:eu-west-2", latitude=51.5, longitude=-0.1),
    City(site="relay-frankfurt", city="Frankfurt", region="aws:eu-central-1", latitude=50.1, longitude=8.7),
    City(site="relay-bahrain", city="Manama", region="aws:me-south-1", latitude=26.1, longitude=50.6),
    City(site="relay-virginia", city="Ashburn", region="aws:us-east-1", latitude=39.0, longitude=-77.5),
    City(site="relay-singapore", city="Singapore", region="aws:ap-southeast-1", latitude=1.35, longitude=103.8),
    City(site="relay-tokyo", city="Tokyo", region="aws:ap-northeast-1", latitude=35.6, longitude=139.7),
)
# Chosen for what the measurements say of them: Two relays are the best
# way to Dubai (97 ms, one relay 115, direct 147), one to Mumbai (114, direct 140), none to Ohio (87).
PLATFORMS: Final = (
    City(site="mumbai", city="Mumbai", region="aws:ap-south-1", latitude=19.1, longitude=72.9),
    City(site="ohio", city="Columbus", region="aws:us-east-2", latitude=40.0, longitude=-83.0),
    City(site="dubai", city="Dubai", region="azure:uaenorth", latitude=25.3, longitude=55.3),
)

_RTT_MS: Final = {
    ("gateway", "relay-london"): 4,
    ("gateway", "relay-frankfurt"): 14,
    ("gateway", "relay-bahrain"): 105,
    ("gateway", "relay-virginia"): 77,
    ("gateway", "relay-singapore"): 204,
    ("gateway", "relay-tokyo"): 221,
    ("gateway", "mumbai"): 140,
    ("gateway", "ohio"): 87,
    ("gateway", "dubai"): 147,
    ("relay-london", "relay-frankfurt"): 13,
    ("relay-london", "relay-bahrain"): 83,
    ("relay-london", "relay-virginia"): 77,
    ("relay-london", "relay-singapore"): 170,
    ("relay-london", "relay-tokyo"): 224,
    ("relay-london", "mumbai"): 110,
    ("relay-london", "ohio"): 86,
    ("relay-london", "dubai"): 119,
    ("relay-frankfurt", "relay-bahrain"): 84,
    ("relay-frankfurt", "relay-virginia"): 90,
    ("relay-frankfurt", "relay-singapore"): 155,
    ("relay-frankfurt", "relay-tokyo"): 223,
    ("relay-frankfurt", "mumbai"): 114,
    ("relay-frankfurt", "ohio"): 99,
    ("relay-frankfurt", "dubai"): 120,
    ("relay-bahrain", "relay-virginia"): 157,
    ("relay-bahrain", "relay-singapore"): 94,
    ("relay-bahrain", "relay-tokyo"): 158,
    ("relay-bahrain", "mumbai"): 36,
    ("relay-bahrain", "ohio"): 166,
    ("relay-bahrain", "dubai"): 10,
    ("relay-virginia", "relay-singapore"): 237,
    ("relay-virginia", "relay-tokyo"): 168,
    ("relay-virginia", "mumbai"): 188,
    ("relay-virginia", "ohio"): 11,
    ("relay-virginia", "dubai"): 189,
    ("relay-singapore", "relay-tokyo"): 75,
    ("relay-singapore", "mumbai"): 59,
    ("relay-singapore", "ohio"): 216,
    ("relay-singapore", "dubai"): 77,
    ("relay-tokyo", "mumbai"): 130,
    ("relay-tokyo", "ohio"): 145,
    ("relay-tokyo", "dubai"): 148,
}

# Synthetic: a provider's own backbone between relays is steady, the public Internet less so.
_BACKBONE: Final = LinkChanges(jitter_ms=0.3, loss_ratio=0.0002)
_PUBLIC: Final = LinkChanges(jitter_ms=1.0, loss_ratio=0.001)


@dataclass(frozen=True, slots=True, kw_only=True)
class CityLink:
    """A link of the demo and how it behaves, each way the same."""

    a: str
    b: str
    rtt_ms: int  # measured
    settings: LinkChanges  # one-way delay (half the RTT), synthetic jitter and loss


def links() -> tuple[CityLink, ...]:
    """Return every link of the map: all pairs of gateway, relays and platforms but platform to platform."""
    relays = {city.site for city in RELAYS}
    found = []
    for (a, b), rtt_ms in _RTT_MS.items():
        synthetic = _BACKBONE if {a, b} <= relays else _PUBLIC
        settings = LinkChanges(delay_ms=rtt_ms / 2, **synthetic)
        found.append(CityLink(a=a, b=b, rtt_ms=rtt_ms, settings=settings))
    return tuple(found)


def rtt_ms(*path: str) -> int:
    """Return the measured RTT along ``path``, site by site. Raises WanError when two are not linked."""
    total = 0
    for a, b in pairwise(path):
        rtt = _RTT_MS.get((a, b), _RTT_MS.get((b, a)))
        if rtt is None:
            raise WanError(f"there is no link between {a} and {b} on the demo's map")
        total += rtt
    return total
