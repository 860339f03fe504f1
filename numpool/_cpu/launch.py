"""How a kernel is run: on the calling thread or on numba's threads, beside other Python threads and after a fork."""

from __future__ import annotations

import os
import threading

import numba
from numba import types
from numba.core.compiler_lock import global_compiler_lock

from numpool._cpu.cache import KernelCache
from numpool._cpu.memory import call

# Chunks for each thread: enough to even out rows of different cost.
_CHUNKS_PER_THREAD = 4

_SERIAL_SIGNATURE = types.void(*[types.int64] * 7)
_PARALLEL_SIGNATURE = types.void(*[types.int64] * 8)


@numba.njit(nogil=True)
def _run_serial(kernel, plan, source, other, out, extra, tasks):
    call(kernel, plan, source, other, out, extra, 0, tasks)


@numba.njit(nogil=True, parallel=True)
def _run_parallel(kernel, plan, source, other, out, extra, tasks, chunks):
    for chunk in numba.prange(chunks):
        first = chunk * tasks // chunks
        last = (chunk + 1) * tasks // chunks
        call(kernel, plan, source, other, out, extra, first, last)


def _ready(dispatcher, signature, name: str) -> None:
    """Compile a driver for its one signature, once."""
    if not dispatcher.signatures:
        with global_compiler_lock:
            if not dispatcher.signatures:
                dispatcher._cache = KernelCache(name)
                dispatcher.compile(signature)
                dispatcher.disable_compile()


# Numba's workqueue layer ends the process when two threads launch at once: whoever finds the lock taken runs alone.
_launching = threading.Lock()
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
    if parallel and not _forked:
        threads = numba.get_num_threads()
        if threads > 1 and _launching.acquire(blocking=False):
            try:
                _ready(_run_parallel, _PARALLEL_SIGNATURE, "parallel")
                chunks = min(tasks, threads * _CHUNKS_PER_THREAD)
                _run_parallel(kernel, plan, source, other, out, extra, tasks, chunks)
            finally:
                _launching.release()
            return
    _ready(_run_serial, _SERIAL_SIGNATURE, "serial")
    _run_serial(kernel, plan, source, other, out, extra, tasks)


def _after_fork_in_child() -> None:
    global _forked, _launching
    _forked = True
    _launching = threading.Lock()
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    # With the compiler's lock taken, no other thread is inside numba's compiler while the process is copied.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork_in_child,
    )
