"""What is known of a relay's host from the host itself, judged: limits of its sshd, and its clock. Pure."""

import re
from collections.abc import Mapping

Finding = dict[str, object]

# One connection of ours carries many tunnels; sshd holds two descriptors for each of its channels.
NOFILE_BAR = 4096
# New connections at once: probes, tunnels and the hops behind them.
STARTUPS_BAR = 30
SKEW_BAR_S = 30.0
_WORD = re.compile(r"[A-Za-z0-9:._-]{1,64}", re.ASCII)
# What an sshd goes by when its files say nothing.
_DEFAULT_STARTUPS = "10:30:100"


def said(check: str, *, ok: bool | None, detail: str = "", fix: str = "") -> Finding:
    """Return a finding; ``ok`` None: nobody can say, or it is as somebody wished. What is well needs no fix."""
    finding: Finding = {"check": check, "ok": ok}
    finding |= {"detail": detail} if detail else {}
    return finding | ({"fix": fix} if fix and not ok else {})


def parsed(text: str) -> dict[str, str]:
    """Return ``name value`` lines as a mapping; what is not of that form is left out."""
    pairs = (line.partition(" ")[::2] for line in text.splitlines())
    return {name: value for name, value in pairs if _WORD.fullmatch(name) and (not value or _WORD.fullmatch(value))}


def judged(facts: Mapping[str, str], now_s: float) -> list[Finding]:
    """Return one finding for each of ``clock`` (epoch seconds), ``nofile``, ``maxstartups`` that is known."""
    found = []
    if facts.get("clock", "").isdigit():
        skew_s = int(facts["clock"]) - now_s
        fix = "run a time service there; certificates live for minutes"
        found.append(said("clock", ok=abs(skew_s) <= SKEW_BAR_S, detail=f"{skew_s:+.0f} s", fix=fix))
    if "nofile" in facts:
        enough = facts["nofile"] == "unlimited" or (facts["nofile"].isdigit() and int(facts["nofile"]) >= NOFILE_BAR)
        fix = f"systemctl edit ssh: [Service] LimitNOFILE={16 * NOFILE_BAR}"
        found.append(said("nofile", ok=enough, detail=facts["nofile"], fix=fix))
    if "maxstartups" in facts:
        startups = facts["maxstartups"] or _DEFAULT_STARTUPS
        first = startups.partition(":")[0]
        enough = first.isdigit() and int(first) >= STARTUPS_BAR
        fix = "its sshd_config: MaxStartups 100:30:1000"
        found.append(said("maxstartups", ok=enough, detail=startups, fix=fix))
    return found
