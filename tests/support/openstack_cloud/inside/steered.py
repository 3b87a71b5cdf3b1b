"""For nova-compute: nova's fake hypervisor, told by a file how it shall behave.

``$STEERING`` names a JSON object, read at each spawn: ``boot_s`` is how long a boot takes, ``refuses`` a regular
expression of machines' names that do not boot.
"""

# ruff: noqa: ANN001, ANN002, ANN003, ANN201
# Runs in Debian's Python, beside nova.

import json
import os
import re
import time
from pathlib import Path

from nova import exception
from nova.virt import fake


class SteeredDriver(fake.FakeDriver):
    """A hypervisor of a few dozen cores that starts nothing."""

    vcpus, memory_mb, local_gb = 32, 131072, 2000

    def spawn(self, context, instance, *args, **kwargs):
        """Take the time that a boot takes, and refuse whom it shall refuse."""
        steering = json.loads(Path(os.environ["STEERING"]).read_text())
        time.sleep(steering.get("boot_s", 0.0))  # eventlet's, which lets others work meanwhile
        refused = steering.get("refuses")
        if refused and re.search(refused, instance.display_name or ""):
            reason = "this hypervisor does not start it"
            raise exception.BuildAbortException(instance_uuid=instance.uuid, reason=reason)
        return super().spawn(context, instance, *args, **kwargs)
