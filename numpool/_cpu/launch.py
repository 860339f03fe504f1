"""How a kernel is run: on the calling thread or on numba's threads, beside other Python threads and
after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numba
from numba import types
from numba.core.compiler_lock import global_compiler_lock

from numpool._cpu.cache import KernelCache
from numpool._cpu.memory import call_walk

# Chunks for each thread: enough to even out rows of different cost.
_CHUNKS_PER_THREAD = 4


class _Driver:
    """A function that runs kernels: compiled for its one signature at the first call, or loaded
    from disk.
    """

    def __init__(self, name: str, function: Callable[..., int], arguments: int, **options: bool):
        self._name = name
        self._dispatcher = numba.njit(nogil=True, **options)(function)
        self._signature = types.int64(*[types.int64] * arguments)

    def ready(self) -> None:
        """Compile it, unless that has been done."""
        if not self._dispatcher.signatures:
            with global_compiler_lock:
                if not self._dispatcher.signatures:
                    self._dispatcher._cache = KernelCache(self._name)
                    self._dispatcher.compile(self._signature)

    def __call__(self, *arguments: int) -> int:
        self.ready()
        return self._dispatcher(*arguments)


def _run_serial(kernel, plan, source, other, out, extra, tasks):
    return call_walk(kernel, plan, source, other, out, extra, 0, tasks)


def _run_parallel(kernel, plan, source, other, out, extra, tasks, chunks):
    done = 0
    for chunk in numba.prange(chunks):
        first = chunk * tasks // chunks
        last = (chunk + 1) * tasks // chunks
        done += call_walk(kernel, plan, source, other, out, extra, first, last)
    return done


_serial = _Driver("serial", _run_serial, 7)
_parallel = _Driver("parallel", _run_parallel, 8, parallel=True)
DRIVERS = {"serial": _serial, "parallel": _parallel}

# Numba's workqueue layer ends the process when two threads launch at once: whoever finds another
# thread here runs alone. A dict and no lock, since an interrupt may come between taking a lock and
# the `try` that gives it back: an entry that was left behind serves its thread the next time.
_launching: dict[str, int] = {}
# Numba's threads do not survive a fork: a child that launches on them would hang or be ended.
_forked = False


def run(
    kernel: int,
    plan: int,
    source: int,
    other: int,
    out: int,
    extra: int,
    tasks: int,
    parallel: bool,
) -> None:
    """Run all tasks of a plan on operands given by address."""
    if _run(kernel, plan, source, other, out, extra, tasks, parallel) != tasks:
        # An exception in a kernel cannot cross the call by address; what is left to fail there is
        # memory.
        raise MemoryError("not enough memory for the line buffers of a kernel")


def _run(
    kernel: int,
    plan: int,
    source: int,
    other: int,
    out: int,
    extra: int,
    tasks: int,
    parallel: bool,
) -> int:
    """Run all tasks; returns how many were done."""
    if parallel and not _forked:
        threads = numba.get_num_threads()
        me = threading.get_ident()
        if threads > 1 and _launching.setdefault("thread", me) == me:
            try:
                chunks = min(tasks, threads * _CHUNKS_PER_THREAD)
                return _parallel(kernel, plan, source, other, out, extra, tasks, chunks)
            finally:
                _launching.pop("thread", None)
    return _serial(kernel, plan, source, other, out, extra, tasks)


def _after_fork_in_child() -> None:
    global _forked
    _forked = True
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    # With the compiler's lock taken, no other thread is inside numba's compiler while the process
    # is copied.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork_in_child,
    )
