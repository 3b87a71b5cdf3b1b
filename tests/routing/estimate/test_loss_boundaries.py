"""Where losses are independent the rule errs exactly as often as it says, and no more often than it may."""

from itertools import product

import numpy as np
import pytest

from routing.estimate.loss_boundaries import Boundaries, Demand, calibrated

ISSUE = Demand(good_ratio=0.001, bad_ratio=0.01, false_bad=0.05, false_good=0.10, packet_limit=2560)
DEMANDS = [
    pytest.param(ISSUE, id="0.1 % or 1 %"),
    pytest.param(Demand(good_ratio=0.01, bad_ratio=0.05, false_bad=0.05, false_good=0.1, packet_limit=1000), id="5 %"),
    pytest.param(Demand(good_ratio=0.1, bad_ratio=0.5, false_bad=0.01, false_good=0.01, packet_limit=200), id="half"),
    pytest.param(Demand(good_ratio=0.02, bad_ratio=0.04, false_bad=0.2, false_good=0.3, packet_limit=900), id="close"),
]


def played_out(rule: Boundaries, loss_ratio: float) -> tuple[float, float, float]:
    """Return good, bad and mean packets by going through every sequence of packets there can be."""
    good = bad = mean_packets = 0.0
    for outcomes in product((False, True), repeat=rule.packet_limit):
        chance = np.prod([loss_ratio if lost else 1 - loss_ratio for lost in outcomes])
        counts = np.arange(1, rule.packet_limit + 1), np.cumsum(outcomes)
        says_good, says_bad = rule.verdicts(*counts)
        ends = np.flatnonzero(says_good | says_bad)
        good += chance * (len(ends) > 0 and bool(says_good[ends[0]]))
        bad += chance * (len(ends) > 0 and bool(says_bad[ends[0]]))
        mean_packets += chance * (counts[0][ends[0]] if len(ends) else rule.packet_limit)
    return good, bad, mean_packets


@pytest.mark.parametrize("loss_ratio", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("packet_limit", [1, 6, 12])
def test_the_characteristic_is_exact(loss_ratio: float, packet_limit: int) -> None:
    """It is what all 2 ** n sequences of packets together say."""
    demand = Demand(good_ratio=0.1, bad_ratio=0.5, false_bad=0.1, false_good=0.1, packet_limit=packet_limit)
    found = calibrated(demand).characteristic(loss_ratio)
    expected = played_out(calibrated(demand), loss_ratio)
    assert (found.good, found.bad, found.mean_packets) == pytest.approx(expected)
    assert found.undecided == pytest.approx(1 - expected[0] - expected[1], abs=1e-12)


@pytest.mark.parametrize("demand", DEMANDS)
def test_the_error_rates_hold(demand: Demand) -> None:
    """Good links are called bad, and bad ones good, no more often than allowed, and neither goes without a verdict."""
    rule = calibrated(demand)
    if_good, if_bad = rule.characteristic(demand.good_ratio), rule.characteristic(demand.bad_ratio)
    assert if_good.bad <= demand.false_bad
    assert if_bad.good <= demand.false_good
    assert max(if_good.undecided, if_bad.undecided) < 0.01


@pytest.mark.parametrize("demand", DEMANDS)
def test_it_is_cheaper_than_the_textbook(demand: Demand) -> None:
    """Thresholds of ln(1 / error rate) hold too, and cost more packets on good links and on bad ones."""
    textbook = demand.rule(-np.log(demand.false_bad), -np.log(demand.false_good))
    for loss_ratio in (demand.good_ratio, demand.bad_ratio):
        assert (
            calibrated(demand).characteristic(loss_ratio).mean_packets
            < textbook.characteristic(loss_ratio).mean_packets
        )


def test_the_issue_s_numbers() -> None:
    """0.1 % is told from 1 % in fewer than 300 packets on average on either kind of link; sent at once, it takes 531.

    At 531: at most 2 of a good link's packets are lost with a chance of 98.3 %, of a bad one's of 9.99 %.
    """
    rule = calibrated(ISSUE)
    assert rule.characteristic(0.001).mean_packets < 300
    assert rule.characteristic(0.01).mean_packets < 200


def test_more_loss_is_called_bad_more_often() -> None:
    """The worse a link, the rarer it is called good."""
    rule = calibrated(ISSUE)
    goods = [rule.characteristic(ratio).good for ratio in (0.0001, 0.001, 0.003, 0.01, 0.1)]
    assert goods == sorted(goods, reverse=True)
