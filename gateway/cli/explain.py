"""A route decision in plain words: which way, why, by how much, what stands by, and how it was measured. Pure.

What is said is read off the decision; only differences and sums are worked out here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from gateway.client.decisions import Candidate, RouteDecision, Standby

# By the gateway's reason; a reason that a newer gateway adds is told as it is.
_REASONS: Mapping[str, str] = {
    "first": "No other route was in use before it.",
    "moved": "It took over from {before}, because it was clearly better for long enough.",
    "escaped-worse": "It took over from {before} at once, because that had become much dearer than usual.",
    "escaped-dead": "It took over from {before} at once, because nothing came back over that any more.",
}


def paragraph(decision: RouteDecision) -> str:
    """Return the whole explanation as one paragraph."""
    if not decision["candidates"]:
        return "No route was measured yet."
    return " ".join(_sentences(decision))


def runner_up(decision: RouteDecision) -> Candidate | None:
    """Return the cheapest usable candidate besides the winner, None when there is none."""
    others = [each for each in _usable(decision) if each["route"] != decision["winner"]]
    return min(others, key=lambda each: (_cost_ms(each), each["route"]), default=None)


def _sentences(decision: RouteDecision) -> Iterator[str]:
    winner = next((each for each in decision["candidates"] if each["route"] == decision["winner"]), None)
    if winner is None or winner["cost_ms"] is None:
        yield f"None of {len(decision['candidates'])} candidate routes is usable{_refusals(decision['candidates'])}."
        return
    bulk = decision.get("profile") == "bulk"
    unit = "ms a megabyte" if bulk else "ms"
    among = _count(decision["candidates"], "candidate")
    yield f"The route is {winner['route']}, of {among}; it costs {_cost(winner)} {unit}."
    throughput_mbps = winner.get("throughput_mbps")
    if bulk:
        carries = "" if throughput_mbps is None else f": about {throughput_mbps:.1f} Mbit/s"
        yield f"It was chosen for bulk, by its narrowest hop{carries}."
    rival = runner_up(decision)
    yield from _why(decision, winner, rival)
    yield _beside(winner, rival, unit)
    yield from _standby(decision.get("standby"), unit)
    yield from _measured(decision, winner)
    yield from _not_built(decision)


def _why(decision: RouteDecision, winner: Candidate, rival: Candidate | None) -> Iterator[str]:
    reason, before = decision.get("reason", ""), decision.get("before") or "the route in use before"
    if reason == "kept":
        beaten = rival is not None and _cost_ms(rival) < _cost_ms(winner)
        yield f"It was kept{', because no other was clearly better for long enough' if beaten else ''}."
    elif reason in _REASONS:
        yield _REASONS[reason].format(before=before)
    elif reason:
        yield f"The reason is: {reason}."


def _beside(winner: Candidate, rival: Candidate | None, unit: str) -> str:
    if rival is None:
        return "No other candidate is usable."
    extra_ms = _cost_ms(rival) - _cost_ms(winner)
    differences = {name: rival["terms"].get(name, 0.0) - ms for name, ms in winner["terms"].items()}
    head = f"The runner-up, {rival['route']}, would cost {_cost(rival)} {unit}"
    if extra_ms < 0:
        return (
            f"{head}, {-extra_ms:.1f} less{_term(differences, 'gains', sign=-1)}{_term(differences, 'loses', sign=1)}."
        )
    return f"{head}, {extra_ms:.1f} more{_term(differences, 'loses', sign=1)}{_term(differences, 'gains', sign=-1)}."


def _term(differences: Mapping[str, float], verb: str, *, sign: int) -> str:
    """Return in which term the rival gains (``sign`` -1) or loses (1) most; nothing where it does not by 0.05 ms."""
    name = max(sorted(differences), key=lambda each: sign * differences[each], default="")
    if not name or sign * differences[name] < 0.05:  # noqa: PLR2004 - would be told as 0.0
        return ""
    return f"; it {verb} most by {name} ({differences[name]:+.1f} ms)"


def _standby(standby: Standby | None, unit: str) -> Iterator[str]:
    if standby is None:
        return
    if standby["route"] is None:
        yield f"There is no standby, because {standby['because'] or 'the gateway does not say why'}."
        return
    extra_ms = standby["extra_ms"]
    cost = "" if extra_ms is None else f", which costs {extra_ms:.1f} {unit} more"
    yield f"Should it fail, {standby['route']} stands by{cost}; the two share no relay and no declared fate."


def _measured(decision: RouteDecision, winner: Candidate) -> Iterator[str]:
    links = winner["links"]
    if not links:
        return
    methods = ", ".join(sorted({each["method"] for each in links if each["method"]})) or "an unknown method"
    sent, lost = sum(each["sent"] for each in links), sum(each["lost"] for each in links)
    text = f"Its {_count(links, 'link')} {'was' if len(links) == 1 else 'were'} measured by {methods}: "
    text += f"{sent:.0f} packets, {lost:.0f} lost"
    errors = [error for each in links if (error := each.get("error_ms")) is not None]
    if winner["rtt_ms"] is not None:
        # Errors of separate links are independent: their squares add up.
        margin = f" ± {math.hypot(*errors):.1f}" if len(errors) == len(links) else ""
        text += f", a round trip of {winner['rtt_ms']:.1f}{margin} ms"
    times_s = [time_s for each in links if (time_s := each["measured_at_s"]) is not None]
    if decision["decided_at"] is not None and times_s:
        decided_at_s = datetime.fromisoformat(decision["decided_at"]).timestamp()
        oldest_s = max(0.0, decided_at_s - min(times_s))
        text += f", the oldest {oldest_s:.0f} s before the decision"
    yield f"{text}."


def _not_built(decision: RouteDecision) -> Iterator[str]:
    refused = [f"{each['route']} ({each['code']}: {each['reason']})" for each in decision.get("refused", [])]
    if refused:
        yield f"Tried before and not built: {', '.join(refused)}."


def _usable(decision: RouteDecision) -> list[Candidate]:
    return [each for each in decision["candidates"] if each["cost_ms"] is not None]


def _refusals(candidates: Sequence[Candidate]) -> str:
    reasons = sorted({reason for each in candidates if (reason := each.get("refused", ""))})
    return f" ({'; '.join(reasons)})" if reasons else ""


def _cost_ms(candidate: Candidate) -> float:
    assert candidate["cost_ms"] is not None
    return candidate["cost_ms"]


def _cost(candidate: Candidate) -> str:
    return f"{_cost_ms(candidate):.1f}"


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
