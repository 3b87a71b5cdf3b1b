"""What probing may spend: never more than the rates allow, by the gateway and by each relay."""

from hypothesis import given
from hypothesis import strategies as st

from routing.probe.budget import BudgetPolicy, ProbeBudget
from routing.probe.plan import PlannedLink, ProbePlan

_POLICY = BudgetPolicy(packets_per_s=10, relay_packets_per_s=2, saved_s=2)


def _plan(*links: tuple[str, int]) -> ProbePlan:
    """Return links from these sources ("g" is the gateway) with so many packets each."""
    return ProbePlan(
        links=tuple(
            PlannedLink(source=source, target=f"t{place}", via=() if source == "g" else (source,), samples=samples)
            for place, (source, samples) in enumerate(links)
        )
    )


def _packets(plan: ProbePlan) -> list[int]:
    return [link.samples for link in plan.links]


def test_a_cold_start_may_spend_what_was_saved() -> None:
    """Two seconds at 10 packets a second are 20: the third link gets what is left, the fourth nothing."""
    budget = ProbeBudget(_POLICY)
    assert budget.limit(0) == 20
    assert _packets(budget.afford(_plan(("g", 8), ("g", 8), ("g", 8), ("g", 8)), 0)) == [8, 8, 4]
    assert budget.limit(0) == 0
    assert budget.limit(0.5) == 5


def test_no_relay_is_asked_for_more_than_its_share() -> None:
    """Two seconds at 2 packets a second are 4 for relay r, whatever is left for others."""
    budget = ProbeBudget(_POLICY)
    assert _packets(budget.afford(_plan(("r", 3), ("r", 3), ("s", 3), ("g", 3)), 0)) == [3, 1, 3, 3]
    assert budget.spent == {"r": 4, "s": 3, "g": 3}


@given(
    asked=st.lists(
        st.tuples(st.floats(0, 5), st.lists(st.tuples(st.sampled_from("grs"), st.integers(1, 9)), max_size=6)),
        max_size=20,
    )
)
def test_the_rates_hold_over_any_time(asked: list[tuple[float, list[tuple[str, int]]]]) -> None:
    """Whatever is asked and when, what is spent is at most what was saved plus the rate times the time."""
    budget, now_s = ProbeBudget(_POLICY), 0.0
    for pause_s, links in asked:
        now_s += pause_s
        budget.afford(_plan(*links), now_s)
        assert sum(budget.spent.values()) <= 20 + 10 * now_s + 1e-6
        assert budget.spent.get("r", 0) <= 4 + 2 * now_s + 1e-6


def test_a_clock_that_goes_back_earns_nothing() -> None:
    """After a step back the buckets are as they were."""
    budget = ProbeBudget(_POLICY)
    budget.afford(_plan(("g", 20)), 100)
    assert budget.limit(50) == 0
    assert budget.limit(51) == 10
