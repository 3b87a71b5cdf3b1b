"""Run a private OpenStack until standard input ends: ``python -m tests.support.openstack_cloud.run ROOT``.

Prints one JSON line when it is up: its folder and its ports. Then each line of standard input is a command, a JSON
list, answered by a line: ``["kill", PROGRAM]``, ``["start", PROGRAM]``, ``["steer", {...}]``, ``["token-life", S]``.
Whoever started it may die in any way: the end of its standard input ends every program of the cloud.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support.openstack_cloud.starting import Cloud, running_cloud


def main(root: Path) -> None:
    """Run it."""
    signal.signal(signal.SIGTERM, _end)
    # Ctrl-C reaches every process of a terminal; whoever started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with running_cloud(root, _say) as cloud:
        print(json.dumps({"root": str(root), "ports": cloud.places.ports}), flush=True)
        for line in sys.stdin:
            _obey(cloud, json.loads(line))
            print(json.dumps({"done": True}), flush=True)


def _obey(cloud: Cloud, command: list[Any]) -> None:
    match command:
        case ["kill", str(program)]:
            cloud.programs.stop(program, signal.SIGKILL)
        case ["start", str(program)]:
            cloud.programs.start_again(program)
        case ["steer", dict(steering)]:
            cloud.steer(**steering)
        case ["token-life", int(seconds)]:
            cloud.token_life(seconds)
        case _:
            raise AssertionError(f"there is no such command: {command}")


def _say(what: str) -> None:
    print(f"openstack: {what}", file=sys.stderr, flush=True)


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end is not to be ended
    sys.exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
