"""`crossway demo`: the whole product in one terminal, unprivileged, with nothing installed but what `make` set up."""

import json
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway.demo.estate import DemoFailed, Estate
from gateway.demo.show import Show
from gateway.demo.story import Report, Story
from gateway.demo.wan.choose import choose_wan
from gateway.demo.wan.link import WanError
from gateway.demo.wan.ports import Wan
from gateway.demo.wan.proxies import DelayProxies

OK, FAILED = 0, 1
SEED = 1


def run(*, once: bool = False, json_report: bool = False, namespaces: bool = True) -> int:
    """Run the demo and return 0 only if every step held.

    ``once`` ends after the last step instead of waiting for Ctrl-C; ``json_report`` prints one JSON object on standard
    output and keeps everything else off it; ``namespaces`` false uses delaying proxies even where better is possible.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    report, show = Report(), Show(to_stderr=json_report)
    try:
        wan, report.wan = _wan(namespaces=namespaces)
        show.begin(report.wan)
        # Short: unix socket paths under it may have 107 bytes at the most.
        with tempfile.TemporaryDirectory(prefix="crossway-") as directory:
            _tell(wan, Path(directory), report, show, once=once)
    except (DemoFailed, WanError) as error:
        show.failed(str(error))
    except KeyboardInterrupt:
        show.ended()
    if json_report:
        json.dump(report.to_json(), sys.stdout, default=str)
        sys.stdout.write("\n")
    return OK if report.ok else FAILED


def _tell(wan: Wan, directory: Path, report: Report, show: Show, *, once: bool) -> None:
    with Estate(wan=wan, directory=directory) as estate:
        show.up(estate)
        story = Story(estate=estate, report=report, tell=show.step)
        story.run()
        if not once:
            show.summary(estate, story)
            signal.pause()


def _wan(*, namespaces: bool) -> tuple[Wan, str]:
    if namespaces:
        return choose_wan(seed=SEED)
    return DelayProxies(seed=SEED), "delaying proxies on loopback, as asked"


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
