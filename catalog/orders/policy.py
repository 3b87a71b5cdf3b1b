"""How creations are tried, tried again and given up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """At most ``attempts_limit`` creations per order, each allowed ``creation_deadline_s``, with growing pauses.

    An attempt of which nothing is heard for ``silence_s`` beyond its deadline counts as failed.
    """

    attempts_limit: int = 3
    first_pause_s: float = 2.0
    longest_pause_s: float = 60.0
    creation_deadline_s: float = 900.0
    # A report comes soon after the deadline; one that is so much later was lost (given up by the queue).
    silence_s: float = 900.0

    def pause_s(self, attempts: int) -> float:
        """Return the pause after ``attempts`` (from 1) failed creations; it doubles each time up to the longest."""
        return min(self.longest_pause_s, self.first_pause_s * 2.0 ** min(attempts - 1, 30))


def given_up(thing: str, attempts: int, reason: str) -> str:
    """Return in a tenant's words why a ``thing`` is not tried again after so many attempts."""
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return f"no {thing} could be created in {tries}: {reason}"
