"""Give up this process's privileges once its raw sockets are open: they go on working, and no new one can be had.

Raw sockets need CAP_NET_RAW, and only when they are opened. A process that opens them and then gives the right up is,
when somebody breaks into it, worth no more than any other. Standard library only, so that it can run before
anything else is loaded.
"""

import ctypes
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

# linux/capability.h: what a gateway may have to keep, such as a listening port below 1024 that it has yet to bind.
_NUMBERS = {"dac_override": 1, "net_bind_service": 10, "net_raw": 13}
_SETPCAP = 8
_VERSION_3 = 0x20080522
_WORD_BITS = 32
_NUMBER_LIMIT = 64
# linux/prctl.h
_CAPBSET_READ, _CAPBSET_DROP = 23, 24
_SET_NO_NEW_PRIVS = 38
_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL = 47, 4

_libc = ctypes.CDLL(None, use_errno=True)
_long = ctypes.c_ulong  # prctl's arguments are long; ctypes would pass an int
_ZEROS = (_long(0), _long(0), _long(0))  # which prctl insists on


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """What is left: ``held`` are capabilities by name, or by number where nothing here names them.

    ``bounded``: no program that this process starts can have more either, root's included. ``other_threads`` ran
    already, and keep what they had: only a thread itself can give up its capabilities.
    """

    held: frozenset[str]
    bounded: bool
    other_threads: int


def give_up_privileges(keep: Collection[str] = ()) -> Privileges:
    """Give up every capability that is not in ``keep``, for good, and return what is left.

    ``keep`` holds ``dac_override``, ``net_bind_service`` or ``net_raw``; what the process does not have is not gained.
    Open sockets stay as they are. Files are then subject to their permissions, for root too. Call it before any thread
    starts; may be repeated, and changes nothing for a process without privileges but that its set-user-id children
    run without any. Raises KeyError for another name and OSError when the kernel refuses.
    """
    wanted = {_NUMBERS[name] for name in keep}
    effective, permitted, _ = _capabilities()
    if _SETPCAP in effective:
        for number in _bounds() - wanted:
            _prctl(_CAPBSET_DROP, number)
    _prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(effective & wanted, permitted & wanted)
    # Or a program with the set-user-id bit, started by us, could have back what the bounds still allow.
    _prctl(_SET_NO_NEW_PRIVS, 1)
    names = {number: name for name, number in _NUMBERS.items()}
    return Privileges(
        held=frozenset(names.get(number, str(number)) for number in _capabilities()[1]),
        bounded=_bounds() <= wanted,
        other_threads=len(list(Path("/proc/self/task").iterdir())) - 1,
    )


def _bounds() -> set[int]:
    """Return what a program that this thread starts could at most have, by number."""
    return {number for number in range(_NUMBER_LIMIT) if _libc.prctl(_CAPBSET_READ, _long(number), *_ZEROS) == 1}


def _capabilities() -> tuple[set[int], set[int], set[int]]:
    """Return this thread's effective, permitted and inheritable capabilities, by number."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)()  # the three sets' low words, then their high words
    _checked(_libc.capget(header, words), "capget")
    effective, permitted, inheritable = (
        {number for number in range(_NUMBER_LIMIT) if (words[place] | words[place + 3] << _WORD_BITS) >> number & 1}
        for place in range(3)
    )
    return effective, permitted, inheritable


def _set_capabilities(effective: set[int], permitted: set[int]) -> None:
    """Set this thread's capabilities; nothing is inheritable."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)()
    for place, numbers in enumerate((effective, permitted)):
        mask = sum(1 << number for number in numbers)
        words[place], words[place + 3] = mask & 0xFFFFFFFF, mask >> _WORD_BITS
    _checked(_libc.capset(header, words), "capset")


def _prctl(option: int, argument: int) -> None:
    _checked(_libc.prctl(option, _long(argument), *_ZEROS), "prctl")


def _checked(result: int, call: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")
