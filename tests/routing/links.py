"""Estimates of links as tests want them."""

from routing.estimate.table import LinkEstimate


def link_estimate(
    source: str, target: str, rtt_ms: float | None, *, loss: float = 0.0, jitter_ms: float = 0.0, dead: bool = False
) -> LinkEstimate:
    """Return an estimate that says this and is otherwise unremarkable."""
    return LinkEstimate(
        source=source,
        target=target,
        method="icmp",
        note="",
        rtt_ms=rtt_ms,
        error_ms=None if rtt_ms is None else 1.0,
        median_ms=rtt_ms,
        smoothed_ms=rtt_ms,
        jitter_ms=jitter_ms,
        loss_ratio=1.0 if dead else loss,
        sent=5.0,
        lost=5.0 * loss,
        samples=0 if rtt_ms is None else 5,
        dead=dead,
        measured_at_s=0.0,
    )
