"""When what was given for a time is over."""


def is_over(end_s: float | None, now_s: float) -> bool:
    """Return whether that moment has come; None never does."""
    return end_s is not None and end_s <= now_s
