"""Choose the WAN this system allows, and say why."""

import logging

from gateway.demo.wan.namespaces import namespaces_available
from gateway.demo.wan.ports import Wan
from gateway.demo.wan.proxies import DelayProxies
from gateway.demo.wan.world import World

log = logging.getLogger(__name__)


def choose_wan(*, seed: int = 1) -> tuple[Wan, str]:
    """Return a WAN, not yet started, and one sentence on why it is this one; takes about 0.3 s."""
    available, reason = namespaces_available()
    log.info("wan chosen", extra={"namespaces": available, "reason": reason})
    if available:
        return World(seed=seed), f"a user-space WAN in {reason}"
    return DelayProxies(seed=seed), f"delaying proxies on loopback, because {reason}"
