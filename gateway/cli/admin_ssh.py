"""The admin's own ssh: the OpenSSH client with the admin's configuration, agent and known hosts, as the admin uses it.

Nothing here checks a host key or holds a credential: whom ssh lets through, the admin trusts.
"""

import base64
import binascii
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.cli.exits import CliError, ExitCode

_TIMEOUT_S = 120.0
# The kinds of host key worth pinning, the best first.
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
# Whoever logs in may have a shell that is none; what is asked for needs root.
_AS_ROOT = """exec sh -c 'if [ "$(id -u)" = 0 ]; then exec sh -s{0}; else exec sudo -n sh -s{0}; fi'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSsh:
    """How the admin reaches a host: ``destination`` as ssh takes it, ``options`` for ``ssh -o``."""

    destination: str
    options: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.destination or self.destination.startswith("-"):
            raise CliError(f"{self.destination!r} is not [USER@]HOST")
        if shutil.which("ssh") is None:
            raise CliError("there is no ssh on this machine", fix="apt-get install openssh-client, or use --print")

    def address(self) -> tuple[str, int]:
        """Return the host and port that ssh would dial, by the admin's configuration."""
        told = dict(line.split(" ", 1) for line in self._ssh("-G").splitlines() if " " in line)
        return told.get("hostname", self.destination.rpartition("@")[2]), int(told.get("port", "22"))

    def host_keys(self) -> list[str]:
        """Return the host's public host keys as ``type base64``, the best kind first, read at the host itself."""
        said = self._ssh(command="exec sh -c 'cat /etc/ssh/ssh_host_*_key.pub'")
        keys = [" ".join(line.split()[:2]) for line in said.splitlines() if line.split()[:1]]
        known = [key for key in keys if key.split()[0] in _KINDS]
        if not known:
            raise CliError("no host key is in /etc/ssh at that host", fix="name the right one: --host-key-file")
        return sorted(known, key=lambda key: _KINDS.index(key.split()[0]))

    def run_as_root(self, script: str, *arguments: str) -> str:
        """Run a shell script as root and return what it prints. Raises CliError with its last words when it fails."""
        return self._ssh(command=_AS_ROOT.format("".join(f" {each}" for each in arguments)), given=script)

    def _ssh(self, *flags: str, command: str | None = None, given: str = "") -> str:
        chosen = [word for option in self.options for word in ("-o", option)]
        remote = [] if command is None else [command]
        try:
            done = subprocess.run(
                ["ssh", *chosen, *flags, "--", self.destination, *remote],
                input=given, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise CliError(
                f"{self.destination} did not answer in {_TIMEOUT_S:.0f} s", code=ExitCode.TIMED_OUT
            ) from error
        if done.returncode != 0:
            last = "; ".join(line for line in done.stderr.splitlines()[-3:] if line.isprintable())
            raise CliError(f"ssh {self.destination}: {last or f'exit {done.returncode}'}", code=ExitCode.FAILED)
        return done.stdout


def fingerprint(key: str) -> str:
    """Return the fingerprint of ``type base64`` as OpenSSH shows it. Raises CliError when it is no key."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error) as error:
        raise CliError(f"{key[:40]!r} is not an OpenSSH public key") from error
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
