"""The doors for local programs: who is let in, what is refused, and what is left behind."""

import asyncio
import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.streams.doors import DoorUnusable, Local, is_own, loopback_port, serve, unix_socket

PATIENCE_S = 30.0


def test_a_unix_socket_is_private_and_removed(tmp_path: Path) -> None:
    """Mode 0600, gone afterwards; a path in use is refused and left as it is."""
    path = tmp_path / "door"
    with unix_socket(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(DoorUnusable) as refused, unix_socket(path):
            pass
        assert refused.value.fix
        assert path.exists()
    assert not path.exists()


def test_what_lies_at_the_path_is_not_removed(tmp_path: Path) -> None:
    """A file that is not our socket survives the attempt."""
    path = tmp_path / "letter"
    path.write_text("dear")
    with pytest.raises(DoorUnusable), unix_socket(path):
        pass
    assert path.read_text() == "dear"


def test_a_port_in_use_is_refused() -> None:
    """The message names the port, the fix another way."""
    with loopback_port(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(DoorUnusable, match=str(port)):
            loopback_port(port)


def test_our_own_connection_is_known_as_such() -> None:
    """By loopback and by unix socket alike."""
    with loopback_port(0) as listener, socket.create_connection(listener.getsockname()) as ours:
        accepted, _ = listener.accept()
        with accepted:
            assert is_own(accepted)
            assert is_own(ours) is is_own(accepted)
    one, two = socket.socketpair()
    with one, two:
        assert is_own(one)


def test_a_connection_that_was_reset_is_nobodys() -> None:
    """Whoever connects and resets at once is refused like a stranger, and the door stays open for others."""

    async def hear(local: Local) -> None:
        while await local.read():
            pass

    async def story() -> None:
        with loopback_port(0) as listener:
            with socket.create_connection(listener.getsockname()) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(serve(listener, hear, limit=1))
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()
                assert not serving.done()
                serving.cancel()

    asyncio.run(story())


def test_one_connection_too_many_is_closed() -> None:
    """With room for one, a second is closed at once, and a third is served when the first has gone."""

    async def story() -> None:
        gone = asyncio.Event()

        async def shout(local: Local) -> None:
            while piece := await local.read():
                await local.write(piece.upper())
            gone.set()

        with loopback_port(0) as listener:
            address = listener.getsockname()
            async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(serve(listener, shout, limit=1))
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"one")
                assert await reader.readexactly(3) == b"ONE"
                late, late_writer = await asyncio.open_connection(*address)
                assert await late.read() == b""
                late_writer.close()
                writer.close()
                await gone.wait()
                await reader.read()
                third, third_writer = await asyncio.open_connection(*address)
                third_writer.write(b"three")
                assert await third.readexactly(5) == b"THREE"
                third_writer.close()
                await third.read()
                serving.cancel()

    asyncio.run(story())


@pytest.mark.parametrize(
    "sockets", [pytest.param(True, id="one socket, as ssh has it"), pytest.param(False, id="pipes")]
)
def test_standard_input_and_output_half_close(*, sockets: bool) -> None:
    """The program hears the end of its input and can still answer, and its own end reaches its parent."""
    code = (
        "import asyncio\nfrom gateway.streams.doors import standard\n"
        "async def main():\n async with standard() as local:\n"
        "  said = b''\n  while piece := await local.read(): said += piece\n"
        "  await local.write(said.upper()); local.end_writing()\nasyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    if not sockets:
        done = subprocess.run(
            [sys.executable, "-c", code], input=b"said", capture_output=True, timeout=60, check=True, env=environment
        )
        assert (done.stdout, done.stderr) == (b"SAID", b"")
        return
    ours, theirs = socket.socketpair()
    with ours, subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, env=environment) as process:
        theirs.close()
        ours.settimeout(60)
        ours.sendall(b"said")
        ours.shutdown(socket.SHUT_WR)
        assert ours.recv(100) == b"SAID"
        assert ours.recv(100) == b""
    assert process.returncode == 0


@pytest.mark.parametrize(("name", "heard"), [("/dev/null", b"[]"), ("file", b"[SAID]")])
def test_standard_input_may_be_a_file(tmp_path: Path, name: str, heard: bytes) -> None:
    """An event loop cannot wait for a file, nor for what cron gives: they are read to their end all the same."""
    code = (
        "import asyncio\nfrom gateway.streams.doors import standard\n"
        "async def main():\n async with standard() as local:\n"
        "  said = b''\n  while piece := await local.read(): said += piece\n"
        "  await local.write(b'[' + said.upper() + b']')\nasyncio.run(main())"
    )
    (tmp_path / "file").write_bytes(b"said")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with (tmp_path / name).open("rb") as given:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=given, capture_output=True, timeout=60, check=True, env=environment
        )
    assert (done.stdout, done.stderr) == (heard, b"")


def test_the_platforms_end_reaches_whoever_has_not_ended_himself() -> None:
    """Through pipes: standard output ends when the platform's half has, while standard input is still open."""
    code = (
        "import asyncio\nfrom gateway.streams.doors import standard\n"
        "async def main():\n async with standard() as local:\n"
        "  await local.write(b'all'); local.end_writing()\n  while await local.read(): pass\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read() == b"all"
        assert process.poll() is None
        process.stdin.close()
    assert process.returncode == 0
