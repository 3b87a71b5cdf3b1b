"""A program of ours that dies by SIGKILL at a named step: ``python killable.py serve|provision CONFIG [STEP]``.

It is the product's own program with one adapter exchanged; nothing in the product knows how to die.
"""

import os
import signal
import sys
from pathlib import Path

from gateway.compose.adapters import Adapters
from gateway.programs import provision, serve


class KillAt:
    """A Checkpoint that kills its process, as a power cut would, the first time that ``step`` is reached."""

    def __init__(self, step: str) -> None:
        self._step = step

    def reached(self, step: str) -> None:
        """Die here if this is the step."""
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    program, config, *step = sys.argv[1:]
    adapters = Adapters(checkpoint=KillAt(step[0])) if step else Adapters()
    sys.exit({"serve": serve, "provision": provision}[program](Path(config), adapters))
