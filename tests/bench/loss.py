"""How few packets tell a link that loses 1 % from one that loses 0.1 %: ``python -m tests.bench.loss [--json]``.

Allowed errors: 5 % of good links called bad, 10 % of bad links called good. All losses are synthetic: independent
(Bernoulli), or drawn by a chain of two states (Gilbert-Elliott) whose bad state lasts for so many packets on average.
Production's test is fed packet by packet as a prober would; where losses are independent its error rates are also
computed exactly. An error rate is held against its bar only when its 95 % interval lies on one side of it.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from routing.estimate.loss import UNKNOWN_RUN_LIMIT, bounds, run_limit
from routing.estimate.loss_verdict import INDEPENDENT, LossTest, Tally, Verdict, counted
from routing.paths.graph import Bools, Floats, Ints
from tests.support.figures import Bar, Figures

GOOD_RATIO, BAD_RATIO = 0.001, 0.01
FALSE_BAD, FALSE_GOOD = 0.05, 0.10
MEAN_PACKETS: Bar = ("<=", 300)
# Packets of a link that were seen before the test, where it learns from them how long runs are.
HISTORY_PACKETS = 20_000
BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How packets are lost. ``mean_stay``: packets in the bad state, which loses ``bad_loses`` of them.

    ``background`` is the share of all losses that happens in the good state, each independently.
    """

    mean_stay: float = 1.0
    bad_loses: float = 1.0
    background: float = 0.0

    def packets(self, rng: np.random.Generator, loss_ratio: float) -> Iterator[Bools]:
        """Yield batches of one link's packets for ever, True where one is lost; ``loss_ratio`` in the long run."""
        bad_share = loss_ratio * (1 - self.background) / self.bad_loses
        leave_bad = min(1 / self.mean_stay, 1 - bad_share)
        leave_good = leave_bad * bad_share / (1 - bad_share)
        leaving = np.array([leave_good, leave_bad])
        loses = np.array([loss_ratio * self.background / (1 - bad_share), self.bad_loses])
        state = int(rng.random() < bad_share)
        while True:
            states = stays(rng, state, leaving)
            yield rng.random(BATCH) < loses[states]
            last = int(states[-1])
            state = last ^ int(rng.random() < leaving[last])


def stays(rng: np.random.Generator, first: int, leaving: Floats) -> Ints:
    """Return the state, 1 for bad, at each of a batch of packets; ``leaving`` is each state's chance to end."""
    states = np.zeros(0, dtype=np.int64)
    while len(states) < BATCH:
        order = (first + np.arange(64)) % 2  # an even number, so that the next turn starts with ``first`` again
        states = np.concatenate((states, np.repeat(order, np.minimum(rng.geometric(leaving[order]), BATCH))))
    return states[:BATCH]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one test did on many links of one kind."""

    links: int
    wrong: int
    undecided: int
    mean_packets: float

    @property
    def interval(self) -> tuple[float, float]:
        """The share of wrong verdicts, with 95 % confidence."""
        low, high = bounds(self.wrong, self.links, 0.975)
        return float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=600, help="simulated links of each kind")
    parser.add_argument("--seed", type=int, default=1)
    figures, arguments = Figures.from_arguments(parser)
    bench = Bench(figures, arguments.links, arguments.seed)
    bench.independent()
    for stay in (1.0, 2.0, 3.0, 5.0, 8.0, 10.0):
        bench.bursty(f"gilbert_{stay:g}", Weather(mean_stay=stay))
    bench.bursty("elliott_10_half", Weather(mean_stay=10, bad_loses=0.5))
    bench.bursty("elliott_20_half", Weather(mean_stay=20, bad_loses=0.5))
    for background in (0.02, 0.05, 0.2, 0.5):
        bench.bursty(f"elliott_10_background_{background:g}", Weather(mean_stay=10, background=background))
    for stay in (1.0, 3.0, 10.0):
        bench.learned(f"learned_{stay:g}", Weather(mean_stay=stay))
    for background in (0.2, 0.5, 0.7):
        bench.learned(f"learned_10_background_{background:g}", Weather(mean_stay=10, background=background))
    bench.beyond("gilbert_20_beyond_the_limit", Weather(mean_stay=20), loss_test(UNKNOWN_RUN_LIMIT))
    bench.beyond("gilbert_10_taken_for_independent", Weather(mean_stay=10), loss_test(INDEPENDENT))


@dataclass(frozen=True, slots=True)
class Bench:
    """Prints the figures of one kind of links after the other."""

    figures: Figures
    links: int
    seed: int

    def independent(self) -> None:
        """Bernoulli: exact figures, and the same as simulated."""
        test = loss_test(INDEPENDENT)
        assert test.boundaries is not None
        if_good, if_bad = (test.boundaries.characteristic(ratio) for ratio in (GOOD_RATIO, BAD_RATIO))
        tell = self.figures.tell
        tell("bernoulli_packets_good", if_good.mean_packets, "packets", MEAN_PACKETS, note="exact")
        tell("bernoulli_packets_bad", if_bad.mean_packets, "packets", MEAN_PACKETS, note="exact")
        mean_packets = (if_good.mean_packets + if_bad.mean_packets) / 2
        tell("bernoulli_packets", mean_packets, "packets", MEAN_PACKETS, note="exact")
        tell("bernoulli_false_bad", if_good.bad, "ratio", ("<=", FALSE_BAD), note="exact")
        tell("bernoulli_false_good", if_bad.good, "ratio", ("<=", FALSE_GOOD), note="exact")
        tell("bernoulli_undecided", max(if_good.undecided, if_bad.undecided), "ratio", note="exact")
        between = test.boundaries.characteristic((GOOD_RATIO * BAD_RATIO) ** 0.5)
        tell("bernoulli_packets_between", between.mean_packets, "packets", note="exact, at the geometric mean")
        tell("bernoulli_packets_fixed_sample", fixed_sample(), "packets", note="exact")
        for name, ratio, wrong in (("false_bad", GOOD_RATIO, Verdict.BAD), ("false_good", BAD_RATIO, Verdict.GOOD)):
            score = self.score(Weather(), ratio, wrong, test)
            # The rule uses up what is allowed, so a simulation can only confirm the exact figure, not beat the bar.
            tell(f"bernoulli_{name}_simulated", score.wrong / score.links, "ratio", note=interval(score))

    def bursty(self, name: str, weather: Weather) -> None:
        """Losses in runs up to ten, and a test that is told no more than that."""
        self.held(name, weather, loss_test(UNKNOWN_RUN_LIMIT))

    def learned(self, name: str, weather: Weather) -> None:
        """The same with a limit on runs that was learned from the link's own packets before."""
        self.held(name, weather, None)

    def beyond(self, name: str, weather: Weather, test: LossTest) -> None:
        """Runs longer than the test was told to expect: what it then does is no promise."""
        for kind, score in self.both(weather, test):
            self.figures.tell(f"{name}_{kind}", score.wrong / score.links, "ratio", note=interval(score))

    def held(self, name: str, weather: Weather, test: LossTest | None) -> None:
        """Print both error rates against their bars, and what they cost."""
        for (kind, score), limit in zip(self.both(weather, test), (FALSE_BAD, FALSE_GOOD), strict=True):
            low, high = score.interval
            share, decided = score.wrong / score.links, high <= limit or low > limit
            self.figures.tell(f"{name}_{kind}", share, "ratio", ("<=", limit), note=interval(score), decided=decided)
            truth = "good" if kind == "false_bad" else "bad"
            self.figures.tell(f"{name}_packets_{truth}", score.mean_packets, "packets")

    def both(self, weather: Weather, test: LossTest | None) -> Iterator[tuple[str, Score]]:
        """Yield the score on good links and on bad ones."""
        yield "false_bad", self.score(weather, GOOD_RATIO, Verdict.BAD, test)
        yield "false_good", self.score(weather, BAD_RATIO, Verdict.GOOD, test)

    def score(self, weather: Weather, ratio: float, wrong: Verdict, test: LossTest | None) -> Score:
        """Return how ``test``, or one that learns first, does on links that lose ``ratio``."""
        rng = np.random.default_rng(self.seed)
        ends = [end_of(weather.packets(rng, ratio), test) for _ in range(self.links)]
        return Score(
            links=self.links,
            wrong=sum(end.verdict is wrong for end in ends),
            undecided=sum(end.verdict is Verdict.UNDECIDED for end in ends),
            mean_packets=sum(end.sent for end in ends) / self.links,
        )


TESTS: dict[float, LossTest] = {}


def loss_test(limit: float) -> LossTest:
    """Return the test for runs of at most ``limit``, made once."""
    if limit not in TESTS:
        TESTS[limit] = LossTest(
            good_ratio=GOOD_RATIO,
            bad_ratio=BAD_RATIO,
            run_limit=limit,
            false_bad=FALSE_BAD,
            false_good=FALSE_GOOD,
        )
    return TESTS[limit]


def end_of(packets: Iterator[Bools], test: LossTest | None) -> Tally:
    """Return the tally at which the test of one link ends."""
    used = test or loss_test(learned_limit(packets))
    tally = Tally()
    while not used.is_over(tally):
        tally = used.after(tally, next(packets))
    return tally


def learned_limit(packets: Iterator[Bools]) -> float:
    """Return the limit on runs that some HISTORY_PACKETS of the link suggest."""
    seen = Tally()
    while seen.sent < HISTORY_PACKETS:
        seen = counted(seen, next(packets))
    return run_limit(seen.lost, seen.bursts, seen.singles)


def fixed_sample() -> int:
    """Return the smallest number of packets that tells both ratios apart when all are sent before one decides."""
    for sent in range(1, 10_000):
        # As many losses as a good link may have before it is called bad.
        allowed = binom.ppf(1 - FALSE_BAD, sent, GOOD_RATIO)
        if binom.cdf(allowed, sent, BAD_RATIO) <= FALSE_GOOD:
            return sent
    raise AssertionError("two ratios that differ can be told apart")


def interval(score: Score) -> str:
    """Return the score's interval and what stayed undecided, for people."""
    low, high = score.interval
    return f"95 % in {low:.4f}..{high:.4f}, undecided {score.undecided / score.links:.4f}"


if __name__ == "__main__":
    main()
