"""The raw prober: answers are matched to probes, refused ones are counted, and loss is what the deadline says."""

import asyncio

import pytest

from routing.probe.icmp import EchoSocket
from tests.routing.answering import run_alone

_SWEEP = """
import dataclasses
from routing.probe.icmp import EchoSocket

held = []
def answers(message):
    request, host = message
    return {
        "as it should": lambda: [(reply_to(request), host)],
        "twice": lambda: [(reply_to(request), host)] * 2,
        "wrong identifier": lambda: [(reply_to(request, identifier=1), host)],
        "wrong sequence": lambda: [(reply_to(request, sequence=7), host)],
        "wrong token": lambda: [(reply_to(request, token=1), host)],
        "wrong source": lambda: [(reply_to(request), "127.0.0.99")],
        "one request later": lambda: [held.pop(0)] if held.append((reply_to(request), host)) or len(held) > 1 else [],
        "only even hosts": lambda: [(reply_to(request), host)] * (int(host.split(".")[3]) % 2 == 0),
    }[behaviour]()

async def main():
    with EchoSocket(rate_pps=2000) as echo, echo_answered(answers) as asked:
        taken = await echo.sweep(hosts, samples=samples, interval_ms=interval_ms, timeout_ms=timeout_ms)
        return [taken, dataclasses.asdict(echo.statistics()), asked]

said = asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("behaviour", "back", "counts"),
    [
        pytest.param("as it should", 3, {"returned": 3}, id="all is well"),
        pytest.param("twice", 3, {"returned": 3, "duplicate": 3}, id="each reply comes twice"),
        pytest.param("wrong identifier", 0, {"foreign": 3}, id="another process's identifier"),
        pytest.param("wrong sequence", 0, {"foreign": 3}, id="the number of a probe not yet sent"),
        pytest.param("wrong token", 0, {"foreign": 3}, id="by somebody who has not seen the probe"),
        pytest.param("wrong source", 0, {"foreign": 3}, id="from somewhere else"),
        pytest.param("one request later", 0, {"late": 2}, id="after its deadline"),
    ],
)
def test_answers_are_matched_or_counted(behaviour: str, back: int, counts: dict[str, int]) -> None:
    """Three probes to a host that answers as told: what does not belong is refused, and counted as what it is.

    Replies held back until the next request are 700 ms old, past the 500 ms allowed; the third is never sent.
    """
    pace = {"interval_ms": 700, "timeout_ms": 500} if "late" in counts else {"interval_ms": 1, "timeout_ms": 300}
    taken, statistics, _ = run_alone(_SWEEP, behaviour=behaviour, hosts=["127.0.0.1"], samples=3, **pace)
    assert sum(ms is not None for ms in taken[0]) == back
    refused = {"late", "duplicate", "foreign", "impossible"}
    # The last duplicate may still be on its way when the last probe is settled.
    found = {name: count for name, count in statistics.items() if name in refused | {"returned"} and count}
    if behaviour == "twice":
        assert found in (counts, counts | {"duplicate": 2})
    else:
        assert found == counts
    assert statistics["sent"] == 3


def test_many_targets_keep_their_own_samples() -> None:
    """Of 200 hosts the odd ones are silent: even ones have all their samples, odd ones none, all were asked thrice."""
    hosts = [f"127.0.0.{place}" for place in range(1, 201)]
    taken, statistics, asked = run_alone(
        _SWEEP, behaviour="only even hosts", hosts=hosts, samples=3, interval_ms=1, timeout_ms=2000
    )
    assert [sum(ms is not None for ms in each) for each in taken] == [0, 3] * 100
    assert (statistics["sent"], statistics["returned"], statistics["foreign"]) == (600, 300, 0)
    assert asked == dict.fromkeys(hosts, 3)


_HELD_UP = """
import select
from routing.probe.icmp import EchoSocket

async def main():
    with EchoSocket(rate_pps=rate_pps) as echo:
        async with asyncio.TaskGroup() as group:
            probe = group.create_task(echo.sweep(hosts, samples=1, interval_ms=1, timeout_ms=250))
            await asyncio.sleep(0)
            select.select([], [], [], 0.5)  # the loop is held up: nothing is read, and the deadline passes
        return probe.result()

said = asyncio.run(main())
"""


def test_an_answer_is_as_old_as_when_it_arrived() -> None:
    """A reply that arrived in time but was read after 500 ms, past the deadline of 250, counts, with its true age."""
    ((took_ms,),) = run_alone(_HELD_UP, hosts=["127.0.0.1"], rate_pps=1000)
    assert took_ms is not None
    assert took_ms < 250


def test_nothing_unread_is_lost_at_the_deadline() -> None:
    """A thousand answers that all wait to be read when the deadline has passed are all read before it counts."""
    hosts = [f"127.0.{block}.{place}" for block in range(4) for place in range(1, 251)]
    taken = run_alone(_HELD_UP, hosts=hosts, rate_pps=200_000)
    assert sum(ms is not None for (ms,) in taken) == 1000


_TURNS = """
from routing.probe.icmp import EchoSocket

order = []
def answers(message):
    order.append(message[1])
    return [(reply_to(message[0]), message[1])]

async def main():
    with EchoSocket(rate_pps=100) as echo, echo_answered(answers):
        async with asyncio.TaskGroup() as group:
            for host in ("127.0.0.1", "127.0.0.2"):
                group.create_task(echo.sweep([host], samples=8, interval_ms=0, timeout_ms=2000))
    return order

said = asyncio.run(main())
"""


def test_sweeps_take_turns() -> None:
    """Two sweeps of eight at once, at a rate that allows one packet at a time: neither ever sends three in a row."""
    order = run_alone(_TURNS)
    assert sorted(order) == ["127.0.0.1"] * 8 + ["127.0.0.2"] * 8
    assert all(len(set(order[place : place + 3])) == 2 for place in range(12))


_CANCELLED = """
import dataclasses, threading
from routing.probe.icmp import EchoSocket

async def main():
    first_asked, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    def answers(message):
        loop.call_soon_threadsafe(first_asked.set)
        go_on.wait(30)
        return [(reply_to(message[0]), message[1])]
    with EchoSocket() as echo, echo_answered(answers):
        async with asyncio.TaskGroup() as group:
            doomed = group.create_task(echo.sweep(["127.0.0.1"], samples=1, interval_ms=1, timeout_ms=20000))
            await first_asked.wait()
            doomed.cancel()
        go_on.set()
        alive = await echo.sweep(["127.0.0.2"], samples=2, interval_ms=1, timeout_ms=20000)
        return [doomed.cancelled(), alive, dataclasses.asdict(echo.statistics())]

said = asyncio.run(main())
"""


def test_a_cancelled_sweep_is_forgotten() -> None:
    """Answers to it are late, and another sweep over the same socket is not disturbed."""
    cancelled, alive, statistics = run_alone(_CANCELLED)
    assert cancelled
    assert None not in alive[0]
    assert (statistics["sent"], statistics["returned"], statistics["late"]) == (3, 2, 1)


_CLOSED = """
from routing.probe.icmp import EchoSocket, open_icmp_socket

async def probed(echo):
    try:
        return await echo.sweep(["127.0.0.1"], samples=1, interval_ms=1, timeout_ms=20000)
    except RuntimeError as error:
        return str(error)

async def main():
    opened = open_icmp_socket()
    async with asyncio.TaskGroup() as group:
        with EchoSocket(opened=opened) as echo, echo_answered(lambda message: []):
            probe = group.create_task(probed(echo))
            await asyncio.sleep(0)
    with EchoSocket(opened=opened) as echo:
        return [probe.result(), await probed(echo), opened.fileno() >= 0]

said = asyncio.run(main())
"""


def test_closing_ends_what_is_under_way() -> None:
    """A sweep under way learns that its prober was closed; a socket opened beforehand stays open, for the next."""
    closed, again, is_open = run_alone(_CLOSED)
    assert "closed" in closed
    assert None not in again[0]
    assert is_open


def test_nothing_to_probe_takes_nothing() -> None:
    """No targets make no samples, no samples an empty tuple for each target, and neither needs the network."""

    async def run() -> None:
        echo = EchoSocket()
        assert await echo.sweep([], samples=3, interval_ms=1, timeout_ms=1) == ()
        assert await echo.sweep(["127.0.0.1"], samples=0, interval_ms=1, timeout_ms=1) == ((),)

    asyncio.run(run())


def test_more_in_flight_than_there_are_numbers_is_refused() -> None:
    """At 10,000 packets/s and a timeout of 7 s, 70,000 would be out at once, and 16-bit numbers would come round."""

    async def run() -> None:
        with pytest.raises(ValueError, match="in flight"):
            await EchoSocket(rate_pps=10_000).sweep(["127.0.0.1"], samples=1, interval_ms=1, timeout_ms=7000)

    asyncio.run(run())
