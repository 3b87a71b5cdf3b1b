"""Raw sockets where they may be had, and a plain answer where they may not."""

import asyncio
import subprocess
import sys

import pytest

from routing.errors import RawSocketsRefused
from routing.probe.plan import ProbePolicy
from routing.probe.probers import Probers, open_raw_sockets


def test_without_the_right_raw_sockets_are_refused_quietly() -> None:
    """An unprivileged process learns by a plain None that it may not send packets of its own making."""
    script = (
        "import os; from routing.probe.probers import open_raw_sockets\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(open_raw_sockets())"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "None\n"


def test_what_was_opened_elsewhere_stays_open() -> None:
    """Sockets from before privileges were dropped are used and left to whoever opened them."""
    raw = open_raw_sockets()
    if raw is None:
        pytest.fail("this test needs raw sockets: run it as root")

    async def run() -> None:
        async with Probers(ProbePolicy(), raw) as probers:
            assert await probers.sockets() is not None
            assert await probers.sockets() == await probers.sockets()

    asyncio.run(run())
    assert raw.icmp.fileno() >= 0
    raw.icmp.close()
    raw.syn.close()


@pytest.mark.parametrize(("icmp", "refused"), [("auto", False), ("off", False), ("require", True)])
def test_the_policy_says_what_their_absence_means(monkeypatch: pytest.MonkeyPatch, icmp: str, *, refused: bool) -> None:
    """Where raw sockets are not to be had, probes go by TCP, unless ICMP is required."""
    monkeypatch.setattr("routing.probe.probers.open_raw_sockets", lambda: None)

    async def run() -> None:
        async with Probers(ProbePolicy(icmp=icmp)) as probers:  # type: ignore[arg-type]
            assert await probers.sockets() is None

    if refused:
        with pytest.raises(RawSocketsRefused):
            asyncio.run(run())
    else:
        asyncio.run(run())
