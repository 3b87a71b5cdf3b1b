"""`crossway demo --once --json` does the demo unattended, and its exit code tells whether every step held."""

import json
import subprocess
import sys
from typing import Any

import pytest

from gateway.demo.show import TERMS


def told(*options: str) -> tuple[int, dict[str, Any], str]:
    """Run the demo and return exit code, report and what it said beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--once", "--json", *options],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    "options", [pytest.param((), id="best network"), pytest.param(("--no-namespaces",), id="proxies")]
)
def test_the_demo_holds(options: tuple[str, ...]) -> None:
    """It exits 0; every step has a duration; the winner has the largest preference; the terms add up."""
    code, report, said = told(*options)
    assert (code, report["ok"]) == (0, True), said[-3000:]
    assert len(report["steps"]) == 10
    assert all(step["ok"] and step["duration_ms"] > 0 for step in report["steps"])
    for decision in report["connections"]:
        usable = [each for each in decision["candidates"] if each["cost_ms"] is not None]
        assert len(usable) > 1
        for candidate in usable:
            assert set(candidate["terms"]) == set(TERMS)
            assert candidate["cost_ms"] == pytest.approx(sum(candidate["terms"].values()))
        refused = {each["route"] for each in decision["refused"]}
        best = max((each for each in usable if each["route"] not in refused), key=lambda each: each["preference"])
        assert decision["winner"] == best["route"]
    accepted = {(each["platform"], each["capability"]) for each in report["grants"] if each["state"] == "accepted"}
    assert {(each["platform"], each["capability"]) for each in report["offers"]} == accepted
    # Only the wide area separates the two: whatever the machine, a pooled order asks no cloud for anything.
    assert report["order_pool"]["served_from"] == "pool"
