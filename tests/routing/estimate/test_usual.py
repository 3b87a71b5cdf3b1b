"""What is expected of links leans towards what they usually cost, the more the less and the longer ago was seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.estimate.table import LinkTable
from routing.estimate.usual import UsualCosts, UsualPolicy

_POLICY = UsualPolicy(lean=0.2, fade_half_life_s=100.0, memory_reviews=100, moved_ratio=0.1)
_NOW = np.zeros(1)


def _usual(*names: tuple[str, str]) -> UsualCosts:
    table = LinkTable()
    table.rows(names)
    return UsualCosts(table, _POLICY)


def _reviewed(*costs_ms: float) -> UsualCosts:
    """Return what one link's costs, review after review, make usual."""
    usual = _usual(("a", "b"))
    for cost_ms in costs_ms:
        usual.review(np.array([cost_ms]))
    return usual


def test_what_was_never_reviewed_is_believed() -> None:
    """Without anything usual the belief stands, however old."""
    assert _usual(("a", "b")).expected_ms(np.array([70.0]), np.array([1000.0])).tolist() == [70.0]


def test_a_fifth_is_what_is_usual() -> None:
    """Four reviews at 100 ms, now 50: 40 of it and 20 of what is usual, 60."""
    assert _reviewed(100.0, 100.0, 100.0, 100.0).expected_ms(np.array([50.0]), _NOW) == pytest.approx([60.0])


def test_an_old_belief_fades() -> None:
    """After 100 s the belief of 50 ms weighs 0.4 instead of 0.8, and 100 ms are usual: 80. In the end it is 100."""
    usual = _reviewed(100.0, 100.0)

    assert usual.expected_ms(np.array([50.0]), np.array([100.0])) == pytest.approx([80.0])
    assert usual.expected_ms(np.array([50.0]), np.array([1e6])) == pytest.approx([100.0])


def test_what_is_down_stays_down() -> None:
    """A link that cannot be used is expected to stay so, and its costs while down say nothing."""
    usual = _reviewed(100.0, np.inf, np.inf, 100.0)

    assert usual.expected_ms(np.array([np.inf]), _NOW).tolist() == [np.inf]
    assert usual.expected_ms(np.array([50.0]), _NOW) == pytest.approx([60.0])


def test_the_mean_forgets() -> None:
    """A thousand reviews at 100 ms, then a hundred at 50: what is usual is 50 + 50 * 0.99 ** 100 = 68.3."""
    usual = _reviewed(*[100.0] * 1000, *[50.0] * 100)

    assert usual.expected_ms(np.array([50.0]), np.array([1e9])) == pytest.approx([50 + 50 * 0.99**100])


def test_there_and_back_are_one_way() -> None:
    """Seen once at 100 ms there and 60 ms back, 80 is usual both ways."""
    usual = _usual(("a", "b"), ("b", "a"))
    usual.review(np.array([100.0, 60.0]))

    assert usual.expected_ms(np.array([100.0, 60.0]), np.full(2, 1e9)) == pytest.approx([80.0, 80.0])


def test_in_a_calm_network_every_link_is_itself() -> None:
    """Where nothing wanders nothing is drawn to its ends: a link much faster than they suggest stays so."""
    names = [(a, b) for a in "abcd" for b in "abcd" if a < b]
    usual, costs_ms = _usual(*names), np.array([5.0, 100.0, 110.0, 120.0, 130.0, 140.0])
    for _ in range(3):
        usual.review(costs_ms)

    assert usual.expected_ms(costs_ms, np.full(6, 1e9)) == pytest.approx(costs_ms)


def test_a_link_little_is_known_of_is_drawn_to_what_its_ends_suggest() -> None:
    """Truly every link takes 100 ms, give or take a factor of two each time: the new one's first 25 ms are not usual.

    Its ends' other links say 100; as far as anybody knows links do not differ, so that nearly all of it is drawn.
    """
    names = [(a, b) for a in "abcdefgh" for b in "abcdefgh" if a < b]
    usual, chance = _usual(*names), np.random.default_rng(1)
    for _ in range(60):
        costs_ms = 100.0 * 2.0 ** chance.uniform(-1, 1, len(names))
        usual.review(np.append(np.inf, costs_ms[1:]))
    usual.review(np.append(25.0, costs_ms[1:]))

    expected_ms = usual.expected_ms(np.append(25.0, costs_ms[1:]), np.full(len(names), 1e9))

    assert expected_ms[0] == pytest.approx(100.0, rel=0.2)


def test_links_that_appear_later_are_taken_in() -> None:
    """The table may grow between reviews; what was known stays."""
    table = LinkTable()
    table.row("a", "b")
    usual = UsualCosts(table, _POLICY)
    usual.review(np.array([100.0]))
    table.row("b", "c")
    usual.review(np.array([100.0, 40.0]))

    assert usual.expected_ms(np.array([100.0, 40.0]), np.zeros(2)) == pytest.approx([100.0, 40.0])


_COSTS = st.lists(st.floats(1.0, 1e4), min_size=6, max_size=6)


@given(st.lists(_COSTS, min_size=1, max_size=10), _COSTS, st.floats(0.0, 1e4))
def test_what_is_expected_lies_between_belief_and_what_is_usual(
    history: list[list[float]], now_ms: list[float], age_s: float
) -> None:
    """Whatever was seen, the expected cost is finite and positive, and moves from the belief to one limit with age."""
    usual = _usual(*[(a, b) for a in "abcd" for b in "abcd" if a < b])
    for costs_ms in history:
        usual.review(np.array(costs_ms))
    belief_ms = np.array(now_ms)

    aged_ms = usual.expected_ms(belief_ms, np.full(6, age_s))
    limit_ms = usual.expected_ms(belief_ms, np.full(6, 1e9))

    assert np.isfinite(aged_ms).all()
    assert (aged_ms > 0).all()
    low_ms, high_ms = np.minimum(belief_ms, limit_ms), np.maximum(belief_ms, limit_ms)
    assert (aged_ms >= low_ms * (1 - 1e-9)).all()
    assert (aged_ms <= high_ms * (1 + 1e-9)).all()
