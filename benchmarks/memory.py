"""The memory a call takes at its peak, on Linux."""

import contextlib
import ctypes
import gc
from pathlib import Path

from benchmarks.timing import Call

_M_MMAP_THRESHOLD = -3
# Blocks from here on are taken from the system and given back to it.
_LARGE = 1 << 16


def forget_freed_memory() -> None:
    """Let every large block be new memory, for the rest of the process.

    glibc keeps blocks that were freed, and a call that gets one seems to take no memory.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


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
