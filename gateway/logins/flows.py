"""What somebody was sent away with to log in elsewhere: kept by the browser itself, sealed, and taken once.

Nothing is kept here for whoever merely asks, so that no number of strangers makes us forget anybody, and a start
forgets nobody either. Remembered is only what came back, until it would have ended anyway. Where that memory is full,
or lost by a restart, a second use still needs a code that the provider gives once, for this very flow.
"""

import hmac
import json
import secrets
from collections import OrderedDict
from dataclasses import asdict, dataclass, field

from catalog.errors import SealBroken
from catalog.secrets import SealedValue, Sealer, Secret

LASTS_S = 600.0
_OWNER, _NAME = "log-in", "flow"  # what a text is sealed for: no other sealed value passes for a flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One log-in that was begun: what the provider is told, and what proves to it who asks for the token."""

    state: str
    nonce: str
    verifier: str = field(repr=False)
    ends_at_s: float


class Flows:
    """The log-ins that are under way."""

    def __init__(self, sealer: Sealer, *, remembered: int = 20_000) -> None:
        """Begin with none used; of those that are, so many are remembered."""
        self._sealer = sealer
        self._remembered = remembered
        self._used: OrderedDict[str, float] = OrderedDict()

    def begin(self, now_s: float) -> tuple[Flow, str]:
        """Return a new one, and the text that its browser keeps."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        flow = Flow(state=state, nonce=nonce, verifier=verifier, ends_at_s=now_s + LASTS_S)
        value = self._sealer.seal(Secret(json.dumps(asdict(flow))), owner=_OWNER, name=_NAME)
        return flow, f"{value.key_id}.{value.sealed}"

    def take(self, text: str, state: str, now_s: float) -> Flow | None:
        """Return the one that the browser keeps as ``text``; None unless it has this state and goes on, unused."""
        key_id, _, sealed = text.rpartition(".")
        try:
            opened = self._sealer.open(SealedValue(key_id=key_id, sealed=sealed), owner=_OWNER, name=_NAME)
        except SealBroken:
            return None
        flow = Flow(**json.loads(opened.reveal()))
        is_its_own = hmac.compare_digest(flow.state.encode(), state.encode("utf-8", "surrogatepass"))
        if not is_its_own or flow.ends_at_s <= now_s or flow.state in self._used:
            return None
        self._remember(flow, now_s)
        return flow

    def _remember(self, flow: Flow, now_s: float) -> None:
        self._used[flow.state] = flow.ends_at_s
        while len(self._used) > self._remembered or next(iter(self._used.values())) <= now_s:
            self._used.popitem(last=False)
