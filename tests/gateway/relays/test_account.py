"""The accounts of a relay, tried at a whole host: what they may do, what they may not, and how they are undone."""

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.errors import InvalidValue
from catalog.permits import RESTRICTIONS, key_lines
from gateway.relays.account import account_script, caretaker_of
from tests.support.relay_host import RelayHost, key_file, relay_host
from tests.support.sshd import free_port
from tests.support.waiting import wait_until

TRACES = (
    "getent passwd | grep crossway; "
    "find /var/lib/crossway /usr/local/libexec/crossway /etc/sudoers.d /etc/ssh/sshd_config.d -type f"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A host that was made a relay."""

    host: RelayHost
    forward_key: Path
    caretaker_key: Path
    forward_line: str
    script: str

    def say(self, words: str) -> "subprocess.CompletedProcess[str]":
        """Say ``words`` to the caretaker."""
        return self.host.ssh("crossway-caretaker", self.caretaker_key, command="anything", given=words)

    def forward(self, address: str) -> "subprocess.CompletedProcess[str]":
        """Open a channel to ``address`` and copy what comes; returns when it ends."""
        return self.host.ssh("crossway", self.forward_key, "-W", address)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A host on which the script was run as root, through its own sshd."""
    with made_relay(tmp_path_factory.mktemp("relay")) as made:
        yield made


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay whose sshd_config includes no further files, and to which the keys' own options have to do."""
    with made_relay(tmp_path_factory.mktemp("bare")) as made:
        made.host.run("rm /etc/ssh/sshd_config.d/*; kill -HUP $(cat " + str(made.host.folder / "pid") + ")")
        wait_until(lambda: made.host.log.count("Server listening on") > 2, "sshd read its configuration again")
        yield made


@contextmanager
def made_relay(folder: Path) -> Iterator[Relay]:
    """Run a host that was made a relay."""
    with relay_host(folder / "host") as host:
        forward_key, forward_line = key_file(folder, "forward")
        caretaker_key, caretaker_line = key_file(folder, "caretaker")
        lines = key_lines(["127.0.0.1:1", f"127.0.0.1:{host.port}"], [forward_line])
        script = account_script("crossway", lines, caretaker_line)
        host.become_relay(script)
        yield Relay(
            host=host,
            forward_key=forward_key,
            caretaker_key=caretaker_key,
            forward_line=forward_line,
            script=script,
        )


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of an OpenSSH agent, without which a client forwards none."""
    path = str(tmp_path_factory.mktemp("agent") / "socket")
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        wait_until(Path(path).exists, "the agent listens")
        yield path
        process.terminate()


def test_what_is_permitted_is_forwarded(relay: Relay) -> None:
    """A channel to a listed address carries bytes: the far sshd's greeting."""
    assert relay.forward(f"127.0.0.1:{relay.host.port}").stdout.startswith("SSH-2.0-OpenSSH")


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1:80", id="another port"),
        pytest.param("169.254.169.254:80", id="the cloud's metadata"),
        pytest.param("localhost:1", id="another name of a listed host"),
        pytest.param("[::1]:1", id="its other address"),
    ],
)
def test_another_address_is_refused(relay: Relay, address: str) -> None:
    """The relay refuses the channel before it connects anywhere."""
    done = relay.forward(address)
    assert done.returncode != 0
    assert "administratively prohibited" in done.stderr


SESSIONS = {
    "terminal": (["-tt"], "id"),
    "agent": (["-A"], "env"),
    "X11": (["-X", "-o", "XAuthLocation=/bin/true"], "env"),
    "sftp": (["-s"], "sftp"),
    "command": ([], "id"),
    "shell": ([], None),
}
REFUSALS = {
    "terminal": "Allocating a pty not permitted for this connection",
    "agent": "agent forwarding disabled",
    "X11": "X11 forwarding request failed",
}


@pytest.mark.parametrize("wish", SESSIONS)
def test_the_forwarding_account_has_no_session(relay: Relay, wish: str) -> None:
    """Whatever is asked for, the session itself is refused."""
    options, command = SESSIONS[wish]
    done = relay.host.ssh("crossway", relay.forward_key, *options, command=command, DISPLAY="localhost:0")
    assert (done.returncode, done.stdout) == (255, "")
    assert "open failed" in done.stderr


@pytest.mark.parametrize("wish", SESSIONS)
def test_the_key_alone_refuses_as_much(bare: Relay, agent: str, wish: str) -> None:
    """Where sshd_config includes no further files, the key's own options and the shell are what stands in the way."""
    options, command = SESSIONS[wish]
    refusal = REFUSALS.get(wish, "Starting session: forced-command")
    before = len(bare.host.log)
    told = {"given": "echo never-$((40 + 2))\n", "DISPLAY": "localhost:0", "SSH_AUTH_SOCK": agent}
    done = bare.host.ssh("crossway", bare.forward_key, *options, command=command, **told)
    assert done.returncode != 0
    assert refusal in bare.host.log[before:] + done.stderr
    assert not re.search("uid=|SSH_AUTH_SOCK|DISPLAY|never-42", done.stdout)


@pytest.mark.parametrize("wish", SESSIONS)
def test_the_caretakers_session_runs_one_program(relay: Relay, agent: str, wish: str) -> None:
    """Whatever is asked for, the program that knows three words is run, and nothing else."""
    options, command = SESSIONS[wish]
    told = {"given": "echo never-$((40 + 2))\n", "DISPLAY": "localhost:0", "SSH_AUTH_SOCK": agent}
    done = relay.host.ssh("crossway-caretaker", relay.caretaker_key, *options, command=command, **told)
    # The program's own refusal; ssh itself ends where even the terminal for it is refused.
    assert done.returncode == (255 if wish == "terminal" else 65)
    assert not re.search("uid=|SSH_AUTH_SOCK|DISPLAY|never-42", done.stdout)


@pytest.mark.parametrize("which", ["relay", "bare"])
@pytest.mark.parametrize(
    "wish", [pytest.param("-R0:127.0.0.1:22", id="a port"), pytest.param("-w0:0", id="a tun device")]
)
def test_nothing_can_be_made_to_listen_at_the_relay(request: pytest.FixtureRequest, which: str, wish: str) -> None:
    """Remote forwarding and tun devices are refused to both accounts, with and without a lock-down in sshd_config."""
    relay: Relay = request.getfixturevalue(which)
    for user, key in (("crossway", relay.forward_key), ("crossway-caretaker", relay.caretaker_key)):
        done = relay.host.ssh(user, key, "-N", "-o", "ExitOnForwardFailure=yes", wish)
        assert done.returncode == 255
        assert re.search("remote port forwarding failed|open failed", done.stderr), done.stderr


def test_a_unix_socket_of_the_relay_is_not_reached(relay: Relay, tmp_path: Path) -> None:
    """Streams to sockets of the file system are refused."""
    near, far = tmp_path / "near", Path(tempfile.gettempdir()) / f"far-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as there, socket.socket(socket.AF_UNIX) as here, ExitStack() as stack:
        there.bind(str(far))
        stack.callback(far.unlink)
        far.chmod(0o777)
        there.listen()
        options = [*relay.host.options(relay.forward_key), "-N", f"-L{near}:{far}", "-lcrossway", "127.0.0.1"]
        with subprocess.Popen(["ssh", *options], stderr=subprocess.DEVNULL) as process:
            wait_until(near.exists, "the client listens")
            here.connect(str(near))
            assert here.recv(1) == b""
            process.terminate()
    assert f"refused streamlocal port forward: originator  port 0, target {far}" in relay.host.log


def test_the_caretaker_forwards_nothing(relay: Relay) -> None:
    """The key that rewrites the list is not good for what the list allows."""
    done = relay.host.ssh("crossway-caretaker", relay.caretaker_key, "-W", f"127.0.0.1:{relay.host.port}")
    assert done.returncode != 0
    assert "prohibited" in done.stderr


def test_the_forwarding_key_is_not_the_caretakers(relay: Relay) -> None:
    """Whoever holds the forwarding key cannot log in as the caretaker, nor the other way round."""
    assert (
        "Permission denied"
        in relay.host.ssh("crossway-caretaker", relay.forward_key, command="x", given="show\n").stderr
    )
    assert "Permission denied" in relay.host.ssh("crossway", relay.caretaker_key, command="x").stderr


def test_the_list_is_replaced_whole(relay: Relay) -> None:
    """What the caretaker wrote is what it shows, and what sshd goes by at once."""
    before = relay.say("show\n").stdout
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        lines = key_lines(["127.0.0.1:1", f"127.0.0.1:{port}"], [relay.forward_line])
        assert relay.say("replace\n" + "\n".join(lines) + "\nend\n").stdout == "replaced\n"
        assert relay.say("show\n").stdout.splitlines() == lines
        assert "prohibited" in relay.forward(f"127.0.0.1:{relay.host.port}").stderr
    relay.say(f"replace\n{before}end\n")
    assert relay.forward(f"127.0.0.1:{relay.host.port}").stdout.startswith("SSH-2.0")


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJYMTrXd3qsh8dXjhM4CcoLnaz4cZOI3WxJbdA1X5OhJ"
GOOD = f'{RESTRICTIONS},permitopen="127.0.0.1:1" {KEY}'


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(f"{KEY}\nend\n", id="a key without restrictions"),
        pytest.param(f"{RESTRICTIONS} {KEY}\nend\n", id="without addresses"),
        pytest.param(GOOD.replace("/bin/false", "/bin/sh") + "\nend\n", id="another command"),
        pytest.param(GOOD.replace("restrict,", "restrict,pty,") + "\nend\n", id="another right"),
        pytest.param(GOOD.replace("localhost:1", "localhost:8080") + "\nend\n", id="another port that listens"),
        pytest.param(GOOD.replace("127.0.0.1:1", "*:1") + "\nend\n", id="every host"),
        pytest.param(GOOD.replace("127.0.0.1:1", "127.0.0.1:*") + "\nend\n", id="every port"),
        pytest.param(f"{GOOD}\n{KEY}\nend\n", id="a bad line after a good one"),
        pytest.param(f"{GOOD}\0{KEY}\nend\n", id="a bad line behind a NUL"),
        pytest.param(f"{GOOD}\r{KEY}\nend\n", id="a bad line behind a carriage return"),
        pytest.param(f"{GOOD} # {KEY}\nend\n", id="a comment"),
        pytest.param(f"{GOOD}\n", id="cut short"),
        pytest.param(f"{GOOD}\n" * 8000 + "end\n", id="too long"),
        pytest.param("end\n", id="nothing, which would lock us out"),
    ],
)
def test_a_bad_list_is_refused_whole(relay: Relay, words: str) -> None:
    """The caretaker takes nothing but restricted keys with addresses; what stood there stays."""
    before = relay.say("show\n").stdout
    done = relay.say("replace\n" + words)
    assert done.returncode == 65, done
    assert done.stderr.startswith("refused: ")
    assert relay.say("show\n").stdout == before
    assert relay.host.run("ls /var/lib/crossway/crossway/.ssh").stdout == "authorized_keys\n"


def test_an_unknown_verb_is_refused(relay: Relay) -> None:
    """So is silence."""
    assert {relay.say(words).returncode for words in ("id\n", "", "show;id\n", "$(id)\n")} == {65}


def test_running_the_script_again_changes_nothing(relay: Relay) -> None:
    """The same accounts with the same files stand afterwards."""
    look = "getent passwd | grep crossway; cat /var/lib/crossway/*/.ssh/* /etc/sudoers.d/crossway-*"
    before = relay.host.run(look).stdout
    assert relay.host.run("sh -s", given=relay.script).returncode == 0
    assert relay.host.run(look).stdout == before


@pytest.mark.parametrize(
    ("program", "turn"),
    [
        ("useradd", 1),
        ("useradd", 2),
        ("chown", 1),
        ("chown", 4),
        ("chmod", 3),
        ("mv", 1),
        ("mv", 3),
        ("mv", 5),
        ("visudo", 1),
        ("sshd", 1),
        ("kill", 1),
    ],
)
def test_whatever_fails_is_undone(tmp_path: Path, program: str, turn: int) -> None:
    """At the ``turn``-th call of ``program`` the script fails, and no account and no file of ours is left."""
    _, line = key_file(tmp_path, "forward")
    script = account_script("crossway", key_lines(["127.0.0.1:1"], [line]), line)
    failing = f'n=0\n{program}() {{ n=$((n + 1)); [ $n -ne {turn} ] || return 1; command {program} "$@"; }}\n'
    with relay_host(tmp_path / "host") as host:
        before = host.run(TRACES).stdout
        done = host.run("sh -s", given=f"systemctl() {{ :; }}\n{failing}{script}")
        assert (done.returncode, "undone" in done.stderr) == (1, True), done.stderr
        assert host.run(TRACES).stdout == before


def test_a_failed_repetition_leaves_what_stood(relay: Relay) -> None:
    """The second run fails at its last file: accounts, keys, program and rule are as the first run left them."""
    look = "getent passwd | grep crossway; cat /var/lib/crossway/*/.ssh/* /etc/sudoers.d/crossway-*"
    before = relay.host.run(look).stdout
    other = relay.script.replace('permitopen="127.0.0.1:1"', 'permitopen="127.0.0.1:2"')
    failing = 'n=0\nmv() { n=$((n + 1)); [ $n -ne 4 ] || return 1; command mv "$@"; }\n'
    assert relay.host.run("sh -s", given=failing + other).returncode == 1
    assert relay.host.run(look).stdout == before


def test_all_of_it_is_taken_away(tmp_path: Path) -> None:
    """With the argument "remove" the script leaves the host as it was before the first run."""
    _, line = key_file(tmp_path, "forward")
    script = account_script("crossway", key_lines(["127.0.0.1:1"], [line]), line)
    with relay_host(tmp_path / "host") as host:
        before = host.run(TRACES).stdout
        assert host.run("sh -s", given=script).returncode == 0
        assert host.run("sh -s remove", given=script).returncode == 0
        assert host.run(TRACES).stdout == before


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param("AllowTcpForwarding no", "set AllowTcpForwarding to local", id="forwarding off"),
        pytest.param("AllowUsers root", "add crossway and crossway-caretaker to AllowUsers", id="not let in"),
        pytest.param("AuthorizedKeysFile /etc/ssh/keys/%u", "see AuthorizedKeysFile", id="keys elsewhere"),
    ],
)
def test_a_host_that_could_not_be_one_is_left_alone(tmp_path: Path, config: str, words: str) -> None:
    """The script says what stands against it before it changes anything."""
    _, line = key_file(tmp_path, "forward")
    script = account_script("crossway", key_lines(["127.0.0.1:1"], [line]), line)
    with relay_host(tmp_path / "host", config=config) as host:
        done = host.run("sh -s", given=script)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
        assert "crossway" not in host.run(TRACES).stdout


def test_somebody_elses_account_is_not_taken_over(tmp_path: Path) -> None:
    """An account of that name that no such script made is left as it is."""
    _, line = key_file(tmp_path, "forward")
    script = account_script("crossway", key_lines(["127.0.0.1:1"], [line]), line)
    with relay_host(tmp_path / "host") as host:
        host.run("useradd --comment Mine crossway")
        done = host.run("sh -s", given=script)
        assert "somebody else's" in done.stderr
        assert "Mine" in host.run("getent passwd crossway").stdout


def test_names_of_accounts_are_checked() -> None:
    """A name ends up in a shell script, so it is letters, digits and hyphens."""
    assert caretaker_of("crossway") == "crossway-caretaker"
    for bad in ("", "a b", "$(id)", "a;b", "Root", "-x", "a" * 21):
        with pytest.raises(InvalidValue):
            caretaker_of(bad)
