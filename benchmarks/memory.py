"""Memory: what a call takes at its peak, and where glibc's allocator takes it from."""

import contextlib
import ctypes
import gc
from pathlib import Path

from benchmarks.timing import Call

# Options of mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4


def always_new() -> None:
    """Let blocks of 64 KiB and more be new memory, for the rest of the process.

    Left to itself, glibc keeps some that were freed, and a call that gets one takes no memory.
    """
    _mallopt(_MMAP_THRESHOLD, 1 << 16)


def always_kept() -> None:
    """Let freed memory be used again, for the rest of the process.

    Left to itself, glibc gives large blocks back or keeps them depending on what came before, and a
    new output of 12 MB costs 8 ms or 2 ms: two processes of one commit differ by as much.
    """
    _mallopt(_MMAP_MAX, 0)
    _mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _mallopt(option: int, value: int) -> None:
    """Set an option of glibc's allocator; other allocators have none."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(option, value)


def peak(call: Call) -> int:
    """The bytes by which a call raises the memory of the process, its result included."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts from here
    before = _status("VmRSS")
    result = call()
    highest = _status("VmHWM")
    del result
    return highest - before


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    raise LookupError(name)
