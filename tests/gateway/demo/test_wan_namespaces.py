"""The same WAN as root and as a plain user; and whoever dies, nothing of it stays behind."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.wan.link import WanError
from gateway.demo.wan.namespaces import find_program, namespaces_available
from tests.support.lab import PYTHON, Lab, require_lab

ROOT = Path(__file__).resolve().parents[3]
SYSTEM_PYTHON = Path("/usr/bin/python3.11")
# Debian's "daemon": a plain user that every Debian has. Not "nobody", whom nss-systemd calls locked.
PLAIN_USER, PLAIN_UID = "daemon", 1
AS_PLAIN_USER = ("setpriv", f"--reuid={PLAIN_UID}", f"--regid={PLAIN_UID}", "--clear-groups")
END_S = 20.0

RAW_ICMP = """
import os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
    s.settimeout(5)
    s.sendto(b"\\x08\\x00\\xf7\\xff\\x00\\x00\\x00\\x00", (sys.argv[1], 0))
    while s.recv(99)[20] != 0:
        pass
print("echo reply to uid", os.getuid())
"""


def require_plain_user() -> None:
    """Skip the calling test where a plain user could not even read this checkout or start a Python."""
    require_lab()
    reads = ["test", "-r", str(ROOT / "gateway" / "__init__.py"), "-a", "-x", str(SYSTEM_PYTHON)]
    if subprocess.run([*AS_PLAIN_USER, *reads], check=False).returncode:
        pytest.skip(f"needs {SYSTEM_PYTHON}, and a checkout that a plain user may read")


def test_what_is_promised_can_be_done() -> None:
    """Both kinds of world that root may ask for are really tried, and the answer says which it was."""
    require_lab()
    assert namespaces_available() == (True, "network namespaces, as root")
    available, reason = namespaces_available(user_namespace=True)
    assert available
    assert reason == "user and network namespaces"


def test_a_missing_program_names_its_package() -> None:
    """What is not installed is an error that says what to install."""
    with pytest.raises(WanError, match="no-such-ip is not installed; on Debian: apt-get install iproute2"):
        find_program("no-such-ip", package="iproute2")


def test_a_world_in_a_user_namespace_works_alike() -> None:
    """Delay, live change, exact counts and raw ICMP are there; only a thread of ours cannot enter it."""
    require_lab()
    with Lab(user_namespace=True) as lab:
        lab.build({("a", "b"): 10})
        ping = lab.ping("a", "b")
        assert ping.rtt_min_ms is not None
        assert ping.rtt_min_ms >= 20
        lab.set_link("a", "b", loss_ratio=1.0)
        assert lab.ping("a", "b", count=2).received == 0
        assert lab.stats("a", "b").lost == 2
        lab.set_link("a", "b", loss_ratio=0)
        done = lab.run("a", [PYTHON, "-c", RAW_ICMP, lab.ip("b")], capabilities=["net_raw"])
        assert done.stdout == "echo reply to uid 0\n", done.stderr
        with pytest.raises(WanError, match="a thread cannot enter a user namespace"), lab.enter("a"):
            pass


# Run by a plain user's Python: the whole of it, without any privilege outside its own user namespace.
WHOLE_WAN = """
import json, subprocess, sys, tempfile
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway.demo.relays import RelaySshd
from gateway.demo.wan.choose import choose_wan

wan, why = choose_wan()
raw = sys.argv[3]
with wan, tempfile.TemporaryDirectory() as directory:
    wan.add_host("gateway"), wan.add_host("relay")
    wan.add_link("gateway", "relay", delay_ms=10)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    here = Path(directory)
    (here / "key").touch(0o600), (here / "key").write_bytes(private)
    relay = RelaySshd.start(wan, "relay", directory=here / "relay", client_key=public.decode())
    at = relay.address_from("gateway")
    (here / "known_hosts").write_text(f"{at.host} {relay.host_key}")
    said = wan.run("gateway", [
        "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={here / 'known_hosts'}",
        "-i", str(here / "key"), "-W", f"{at.host}:{at.port}", f"{relay.user}@{at.host}"])
    probes = [
        wan.popen("gateway", [sys.executable, "-c", raw, at.host], capabilities=held,
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE).communicate()
        for held in (["net_raw"], [])
    ]
print(json.dumps({"why": why, "ssh": said.stdout + said.stderr, "user": relay.user, "port": at.port,
    "with": (probes[0][0] + probes[0][1]).decode(), "without": (probes[1][0] + probes[1][1]).decode()}))
"""


def test_a_plain_user_has_all_of_it(tmp_path: Path) -> None:
    """With a /dev/net/tun it may open: sshd on port 22 as that user, ssh through it, raw ICMP.

    This machine's /dev/net/tun is root's alone, so the test puts one for all in its place, in a mount
    namespace of its own; raw ICMP works with the capability and is refused without it.
    """
    require_plain_user()
    site_packages = next(path for path in sys.path if path.endswith("site-packages"))
    script = (
        f"cd {tmp_path} && mount -t tmpfs none . && cd {tmp_path} && mknod -m 666 tun c 10 200 && "
        f'mount --bind tun /dev/net/tun && cd / && exec {" ".join(AS_PLAIN_USER)} {SYSTEM_PYTHON} -I -c "$0" "$@"'
    )
    command = ["unshare", "--mount", "sh", "-c", script, WHOLE_WAN, str(ROOT), site_packages, RAW_ICMP]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["why"] == "a user-space WAN in user and network namespaces"
    assert (report["user"], report["port"]) == (PLAIN_USER, 22)
    assert report["ssh"].startswith("SSH-2.0-OpenSSH"), report["ssh"]
    assert report["with"] == f"echo reply to uid {PLAIN_UID}\n"
    assert "Operation not permitted" in report["without"]


def test_without_the_device_a_plain_user_is_told_why() -> None:
    """On a machine whose /dev/net/tun is root's alone a plain user's answer is no, and names it."""
    require_plain_user()
    if Path("/dev/net/tun").stat().st_mode & 0o006:
        pytest.skip("needs a /dev/net/tun for root only")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from gateway.demo.wan.namespaces import namespaces_available; print(*namespaces_available())"
    )
    command = [*AS_PLAIN_USER, str(SYSTEM_PYTHON), "-I", "-c", code]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")

    assert done.stdout == "False /dev/net/tun cannot be used by this user (Permission denied)\n", done.stderr


OWNER = """
import json, os, signal, sys
from gateway.demo.wan.world import World
world = World(user_namespace=sys.argv[1] == "user")
world.start()
world.add_host("a"), world.add_host("b")
world.add_link("a", "b", delay_ms=1)
# The child outlives its parent and ignores what it can, as a stubborn daemon would.
program = world.popen("a", ["sh", "-c", "trap '' TERM HUP; (sleep 1000)& echo $!; exec sleep 1000"], stdout=-1)
children = [program.pid, int(program.stdout.readline()), world._namespaces._keeper.pid, world._engine.pid]
print(json.dumps({"pids": children, "network": os.stat(f"/proc/{program.pid}/ns/net").st_ino}), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("kind", ["root", "user"])
def test_a_killed_owner_leaves_nothing(kind: str) -> None:
    """After SIGKILL of the owner all end by themselves: keeper, engine, programs and what those started."""
    require_lab()
    with subprocess.Popen([PYTHON, "-c", OWNER, kind], stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        report = json.loads(owner.stdout.readline())
        watched = [os.pidfd_open(pid) for pid in report["pids"]]
        owner.send_signal(signal.SIGKILL)

    for pidfd, pid in zip(watched, report["pids"], strict=True):
        # A pidfd is readable once its process has ended.
        assert select.select([pidfd], [], [], END_S)[0], f"process {pid} is still there"
        os.close(pidfd)
    assert report["network"] not in networks_in_use()


def networks_in_use() -> set[int]:
    """Return the network namespaces that any process is in."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(path.stat().st_ino)
        except OSError:
            continue
    return found
