"""A network as a gateway tells it: three sites on the map and one off it, two relays, a platform, three links."""

from gateway.client.decisions import Decision, Standby
from gateway.client.network_status import KnownNetwork, LinkStatus, RelayPlace, SitePlace


def site(name: str, latitude: float | None = None, longitude: float | None = None) -> SitePlace:
    """Return a site; without coordinates nobody knows where it is."""
    return {"name": name, "region": "", "latitude": latitude, "longitude": longitude}


def relay(name: str, at: str, *, enabled: bool = True, mismatch_since: str | None = None) -> RelayPlace:
    """Return a relay at a site."""
    return {
        "name": name,
        "site": at,
        "enabled": enabled,
        "risk": 0.0,
        "risk_groups": [],
        "host_key_mismatch_since": mismatch_since,
    }


def link(source: str, target: str, rtt_ms: float | None, *, dead: bool = False) -> LinkStatus:
    """Return a link that was measured four seconds ago, eight samples long."""
    return {
        "source": source,
        "target": target,
        "method": "icmp",
        "note": "timed-out" if dead else "",
        "rtt_ms": rtt_ms,
        "error_ms": None if rtt_ms is None else 0.25,
        "median_ms": rtt_ms,
        "smoothed_ms": rtt_ms,
        "jitter_ms": 0.5,
        "loss_ratio": 1.0 if dead else 0.01,
        "loss_least": 0.36 if dead else 0.0005,
        "loss_most": 1.0 if dead else 0.047,
        "sent": 99.5,
        "lost": 1.0,
        "samples": 8,
        "dead": dead,
        "age_s": 4.2,
    }


def network() -> KnownNetwork:
    """Return the network: gateway in London, relays in Frankfurt and Tokyo, a platform in a cellar."""
    return {
        "gateway_site": "london",
        "sites": [site("london", 51.5, -0.1), site("frankfurt", 50.1, 8.7), site("tokyo", 35.7, 139.7), site("cellar")],
        "relays": [relay("fra-1", "frankfurt"), relay("tok-1", "tokyo"), relay("tok-2", "tokyo", enabled=False)],
        "platforms": [{"name": "vault", "site": "cellar"}],
        "links": [
            link("gateway", "fra-1", 12.5),
            link("fra-1", "platform/vault", 30.0),
            link("gateway", "tok-1", None, dead=True),
        ],
        "links_alive": 2,
        "links_dead": 1,
        "probes": {
            "packets": 120,
            "lost": 3,
            "refused": {"faster-than-light": 2},
            "limit_per_s": 50.0,
            "by_source": {"gateway": 100, "fra-1": 20},
        },
        "changes": {"moved": 2, "escaped-dead": 1},
    }


def decision(second: int, winner: str | None, reason: str, *, standby: str | None = None) -> Decision:
    """Return what was decided ``second`` seconds after eight in the morning."""
    minutes, seconds = divmod(second, 60)
    kept: Standby | None = None
    if standby is not None:
        kept = {"route": standby, "cost_ms": 50.0, "extra_ms": 7.5, "because": ""}
    return {
        "decided_at": f"2027-01-15T08:{minutes:02}:{seconds:02}Z",
        "winner": winner,
        "reason": reason,
        "before": "",
        "margin_ms": None,
        "cost_ms": None if winner is None else 42.5,
        "standby": kept,
    }
