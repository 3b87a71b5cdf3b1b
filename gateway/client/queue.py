"""Messages between the applications that were given up."""

from collections.abc import Mapping
from typing import Any

from gateway.client.collection import Collection

DeadLetter = Mapping[str, Any]


class DeadLetters(Collection[DeadLetter]):
    """What nobody handled in time, or always failed at."""

    def replay(self, key: str) -> DeadLetter:
        """Deliver it once more, as if it were new."""
        return self._obtain(key, "replay", body={})
