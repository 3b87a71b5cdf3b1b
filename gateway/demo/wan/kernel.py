"""The few kernel calls that Python 3.11 lacks: namespaces, ambient capabilities, timerfd, TAP devices.

``os.unshare`` and ``os.setns`` came with 3.12, ``os.timerfd_create`` with 3.13. Standard library only.
"""

import ctypes
import fcntl
import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
TUN_DEVICE = "/dev/net/tun"
CAPABILITIES = {"net_bind_service": 10, "net_admin": 12, "net_raw": 13}  # linux/capability.h

_TUNSETIFF = 0x400454CA
_IFF_TAP_WITHOUT_HEADER = 0x0002 | 0x1000  # IFF_TAP | IFF_NO_PI
_CAPABILITY_VERSION_3 = 0x20080522
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_TFD_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000
_TFD_TIMER_ABSTIME = 1

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces. Raises OSError."""
    _checked(_libc.unshare(flags), "unshare")


def setns(namespace_fd: int, flag: int) -> None:
    """Move the calling thread into a namespace; a user namespace only when it is the only thread. Raises OSError."""
    _checked(_libc.setns(namespace_fd, flag), "setns")


def unshare_user() -> None:
    """Move the calling process into a new user namespace in which it keeps its uid and gid. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    # An unprivileged process may map its own id only, and gives up setgroups first (user_namespaces(7)).
    for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", file).write_text(text, encoding="ascii")


def raise_ambient(capabilities: Iterable[int]) -> None:
    """Let the programs executed from here keep ``capabilities``, though their user is not root. Raises OSError."""
    wanted = list(capabilities)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: low words, then high words
    _checked(_libc.capget(header, sets), "capget")
    for capability in wanted:
        sets[2] |= 1 << capability  # ambient capabilities must be inheritable; all of ours are below 32
    _checked(_libc.capset(header, sets), "capset")
    for capability in wanted:
        _checked(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl")


def open_tap(name: str) -> int:
    """Create the TAP device ``name`` in the current network namespace; return its non-blocking descriptor.

    The device lives as long as the descriptor. Raises OSError.
    """
    fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_WITHOUT_HEADER))
    except OSError:
        os.close(fd)
        raise
    return fd


class Timer:
    """A timerfd on the monotonic clock: epoll's own timeout is rounded up to whole milliseconds."""

    def __init__(self) -> None:
        self.fd = _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_CLOEXEC_NONBLOCK), "timerfd_create")
        self._spec = (ctypes.c_long * 4)()  # interval s, ns; first expiry s, ns

    def arm(self, at_s: float) -> None:
        """Make the descriptor readable at ``at_s``; a time in the past means now."""
        seconds = int(at_s)
        self._spec[2], self._spec[3] = seconds, max(1, int((at_s - seconds) * 1e9))
        _checked(_libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, self._spec, None), "timerfd_settime")


def _checked(result: int, call: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")
    return result
