"""Start nova-compute with the driver of ``steered.py`` where nova looks for drivers; no file of Debian's changes."""

# Runs in Debian's Python, beside nova.

import importlib
import sys

import nova.cmd  # patches the standard library, which must come first
import nova.virt

sys.modules["nova.virt.steered"] = nova.virt.steered = importlib.import_module("steered")

if __name__ == "__main__":
    from nova.cmd.compute import main

    sys.exit(main())
