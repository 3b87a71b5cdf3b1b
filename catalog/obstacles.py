"""What stands in the way of a destruction, beside why the thing is destroyed: joined in one reason, and parted again.

Pure. A row has one reason. While its cloud refuses to destroy it, a tenant must read there what to do about that; when
the obstacle is gone, only why it ended may be left.
"""

_STILL_THERE = "it is not destroyed yet: "


def with_obstacle(reason: str, obstacle: str) -> str:
    """Return ``reason`` followed by ``obstacle``, in place of the one that it may hold already."""
    ended = without_obstacle(reason)
    return f"{ended}; {_STILL_THERE}{obstacle}" if ended else f"{_STILL_THERE}{obstacle}"


def without_obstacle(reason: str) -> str:
    """Return what ``reason`` was before an obstacle was added to it."""
    return reason.partition(_STILL_THERE)[0].removesuffix("; ")
