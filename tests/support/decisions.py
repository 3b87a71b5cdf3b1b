"""A stored route decision as the gateway writes it: two relays, of which one is quicker and loses more.

By delay and loss fra-1 costs 20 + 200 * 0.05 = 30 ms and sin-1 35 ms; at three times the loss weight 50 ms and 35 ms.
For bulk fra-1 carries 100 Mbit/s, so that a megabyte takes 80 ms, and sin-1 50 Mbit/s, which makes 160 ms.
"""

from typing import Any

WEIGHTS = {
    "delay": 1.0,
    "loss": 1.0,
    "jitter": 1.0,
    "hops": 0.0,
    "price": 0.0,
    "risk": 0.0,
    "loss_scale_ms": 200.0,
    "loss_limit_ratio": 0.5,
}


def candidate(route: str, rtt_ms: float, loss_cost: float, throughput_mbps: float) -> dict[str, Any]:
    """Return a candidate over one relay that costs its round trip and its loss."""
    terms = {"hops": 0.0, "price": 0.0, "risk": 0.0, "delay": rtt_ms, "loss": 200 * loss_cost, "jitter": 0.0}
    return {
        "route": route,
        "target": "platform/platform",
        "hops": [route],
        "rtt_ms": rtt_ms,
        "jitter_ms": 0.0,
        "loss_ratio": loss_cost,
        "loss_cost": loss_cost,
        "price_usd_per_gb": 0.0,
        "risk": 0.0,
        "throughput_mbps": throughput_mbps,
        "terms": terms,
        "cost_ms": rtt_ms + 200 * loss_cost,
        "preference": 80.0,
        "refused": "",
        "links": [],
    }


def document(**changes: Any) -> dict[str, Any]:
    """Return the decision with ``changes``."""
    return {
        "winner": "fra-1",
        "reason": "moved",
        "before": "direct",
        "margin_ms": 5.0,
        "standby": {"route": "sin-1", "cost_ms": 35.0, "extra_ms": 5.0},
        "profile": "interactive",
        "price_limit_usd_per_gb": None,
        "weights": WEIGHTS,
        "candidates": [candidate("fra-1", 20.0, 0.05, 100.0), candidate("sin-1", 35.0, 0.0, 50.0)],
        "refused": [],
        "probe_methods": ["icmp"],
        **changes,
    }
