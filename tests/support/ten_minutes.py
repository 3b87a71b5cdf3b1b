"""The README's "Bring your cloud in ten minutes", run as it stands: the very lines, with a reader's own values.

What a reader has and we make here: values of one's own, an ssh that reaches the relay (a whole host, see
``relay_host``), a secret to type, and names that the relay can resolve.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.relay_host import RelayHost
from tests.support.small_world import ROOT
from tests.support.sshd import free_port

SECTION: Final = "## Bring your cloud in ten minutes"
_BLOCK: Final = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SETUP: Final = "make setup && source .venv/bin/activate\n"  # done by whoever runs the tests
_KINDS: Final = ("EC2", "OpenStack")


def blocks(kind: str) -> list[str]:
    """Return the section's commands for ``kind``, block by block, as they stand in the README."""
    text = (ROOT / "README.md").read_text()
    section = text.split(SECTION, 1)[1].split("\n## ", 1)[0]
    others = tuple(f"# {each}\n" for each in _KINDS if each != kind)
    return [block for block in _BLOCK.findall(section) if not block.startswith(others)]


def with_values(found: Sequence[str], values: Mapping[str, str]) -> str:
    """Return the blocks as one script, with a reader's values in the place of the README's.

    Each of ``values`` must be a variable that the README sets, and no variable may keep the README's value.
    """
    assert found[0].startswith(_SETUP), "the first block sets up"
    script = "\n".join([found[0].removeprefix(_SETUP), *found[1:]])
    named = set(re.findall(r"(?<=[ \n])([A-Z_]+)=(?=\S)", "\n".join(b for b in found if "\nexport PLATFORM=" in b)))
    assert named == set(values), "the values of one's own are those that the README asks for"
    for name, value in values.items():
        script, count = re.subn(rf"(?<=[ \n]){name}=\S+", f"{name}={value}", script)
        assert count == 1, f"{name} is said once"
    return script


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who follows the README in ``folder``, with a host for the relay."""

    folder: Path
    host: RelayHost
    secret: str
    api_port: int = field(default_factory=free_port)

    def follow(
        self, kind: str, values: Mapping[str, str], *, timeout_s: float, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the README's commands for ``kind`` with the reader's ``values``, and end what they left running."""
        own = {"RELAY": "root@relay.example.net", "CONNECTOR": f"127.0.0.1:{free_port()}"}
        script = with_values(blocks(kind), {**own, **values})
        (self.folder / "config").symlink_to(ROOT / "config")
        self._ssh()
        (self.folder / "secret").write_text(self.secret)
        shell = f"set -euo pipefail\ntrap 'kill $(jobs -p); wait' EXIT\n{script}"
        with (self.folder / "said").open("w") as said:
            process = subprocess.Popen(
                ["bash", "-c", shell], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                text=True, env=self._environment(**more), start_new_session=True,
            )  # fmt: skip
            try:
                out, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, 15)
                out, _ = process.communicate()
        return subprocess.CompletedProcess(script, process.returncode, out, (self.folder / "said").read_text())

    def told(self) -> str:
        """Return what gateway and connector have logged."""
        logs = [self.folder / name for name in ("gateway.log", "connector.log")]
        return "\n".join(log.read_text()[-4000:] for log in logs if log.exists())

    def _environment(self, **more: str) -> dict[str, str]:
        address = f"127.0.0.1:{self.api_port}"
        return {
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder), "LANG": "C.UTF-8",
            # Many gateways may run beside each other here.
            "CROSSWAY_API__LISTEN": address, "CROSSWAY_SERVER": f"http://{address}",
            # What a reader types when asked.
            "CROSSWAY_PLATFORM_ENROL_SECRET_FILE": str(self.folder / "secret"),
            **more,
        }  # fmt: skip

    def _ssh(self) -> None:
        """Make the reader's ssh: one that is configured to reach the relay's host."""
        options = [*self.host.options(self.host.admin_key), "-o", "HostName=127.0.0.1"]
        options += ["-o", f"HostKeyAlias=[127.0.0.1]:{self.host.port}"]
        (self.folder / "bin").mkdir()
        ssh = self.folder / "bin" / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh {" ".join(options)} "$@"\n')
        ssh.chmod(0o755)


def resolve(host: RelayHost, *names: str) -> None:
    """Have the relay's host take ``names`` for its own loopback."""
    done = host.run(f"echo 127.0.0.1 {' '.join(names)} >>/etc/hosts")
    assert done.returncode == 0, done.stderr
