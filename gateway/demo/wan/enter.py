"""Enter a host's namespaces, keep the capabilities asked for, and become another program.

Arguments: path of the user namespace ("-" for none), path of the network namespace, capabilities
separated by commas, then the program's own. Inherited descriptors pass through. Standard library only.
"""

import os
import signal
import sys

from gateway.demo.wan import kernel

_COULD_NOT_START = 127  # as a shell says it


def main() -> None:
    """Never return: the program takes this process over, or its absence ends it with status 127."""
    user_path, network_path, names, *argv = sys.argv[1:]
    network_fd = os.open(network_path, os.O_RDONLY | os.O_CLOEXEC)
    if user_path != "-":
        kernel.setns(os.open(user_path, os.O_RDONLY | os.O_CLOEXEC), kernel.CLONE_NEWUSER)
    kernel.setns(network_fd, kernel.CLONE_NEWNET)
    if user_path != "-":
        kernel.raise_ambient(kernel.CAPABILITIES[name] for name in names.split(",") if name)
    # Python ignores SIGPIPE, and what is ignored stays ignored across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(_COULD_NOT_START)
