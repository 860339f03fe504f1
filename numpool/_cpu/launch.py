"""How a kernel is run: on the calling thread or on numba's threads, beside other Python threads and
after a fork.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

import numba
import numpy as np
from llvmlite.binding import ffi
from numba import types
from numba.core.compiler_lock import global_compiler_lock

from numpool._cpu.cache import KernelCache
from numpool._cpu.compiling import uninterrupted
from numpool._cpu.memory import call_walk, inline, read, write

# Chunks for each thread: enough to even out rows of different cost.
_CHUNKS_PER_THREAD = 4


# Where an array object has the address of its data: behind the head of every object, by an ABI that
# each extension of NumPy's is compiled against. A driver reads it in no time; Python's ways to it
# (`ctypes.data`, `__array_interface__`) take 0.8 us an array.
_DATA = object.__basicsize__


@inline
def _data(array):
    """The address of the first element of an array object; 0 for none."""
    return read(array + _DATA, types.int64) if array else 0


class _Driver:
    """A function that runs kernels: compiled for its one signature at the first call, or loaded
    from disk.
    """

    def __init__(self, name: str, function: Callable[..., int], arguments: int, **options: bool):
        self._name = name
        self._dispatcher = numba.njit(
            nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options
        )(function)
        self._signature = types.int64(*[types.int64] * arguments)
        # Called by a dispatcher, compiled code costs 0.1 us more.
        self.run: Callable[..., int] = self._run_first

    def ready(self) -> None:
        """Compile it, unless that has been done."""
        with global_compiler_lock:
            if not self._dispatcher.signatures:
                self._dispatcher._cache = KernelCache(self._name)
                with uninterrupted():
                    self._dispatcher.compile(self._signature)
            self.run = self._dispatcher.get_overload(self._signature)

    def _run_first(self, *arguments: int) -> int:
        self.ready()
        return self.run(*arguments)


def _run_serial(kernel, plan, start, tasks, source, other, out, extra):
    source, other, out, extra = _data(source), _data(other), _data(out), _data(extra)
    return call_walk(kernel, (plan, source, other, out, extra, start, start + tasks))


def _run_parallel(kernel, plan, start, tasks, source, other, out, extra, chunks, failed):
    """`failed` is an array of one 0, for any chunk to write 1 to: a sum over the chunks takes half
    as long again to compile.
    """
    source, other, out, extra = _data(source), _data(other), _data(out), _data(extra)
    failed = _data(failed)
    for chunk in numba.prange(chunks):
        first = start + chunk * tasks // chunks
        last = start + (chunk + 1) * tasks // chunks
        if call_walk(kernel, (plan, source, other, out, extra, first, last)) != last - first:
            write(failed, 1)
    return tasks - read(failed, types.int64)


_serial = _Driver("serial", _run_serial, 8)
_parallel = _Driver("parallel", _run_parallel, 10, parallel=True)
DRIVERS = {"serial": _serial, "parallel": _parallel}

# Numba's workqueue layer ends the process when two threads launch at once: whoever finds another
# thread here runs alone. A dict and no lock, since an interrupt may come between taking a lock and
# the `try` that gives it back: an entry that was left behind serves its thread the next time.
_launching: dict[str, int] = {}
# Numba's threads do not survive a fork: a child that launches on them would hang or be ended.
_forked = False


class Unfinished(MemoryError):
    """A kernel ended before all its tasks were done. No exception crosses the call by address:
    memory is what it lacked, unless its caller knows another reason.
    """

    def __init__(self) -> None:
        super().__init__("not enough memory for the line buffers of a kernel")


def run(
    kernel: int,
    plan: int,
    tasks: int,
    parallel: bool,
    source: np.ndarray,
    other: np.ndarray | None,
    out: np.ndarray | None,
    extra: np.ndarray | None,
    start: int = 0,
) -> None:
    """Run some tasks of a plan on operands: all, or those from `start` on. `Unfinished` says that
    the kernel did not do them all.
    """
    call = (
        kernel,
        plan,
        start,
        tasks,
        id(source),
        0 if other is None else id(other),
        0 if out is None else id(out),
        0 if extra is None else id(extra),
    )
    if (_run_on_threads(*call) if parallel else _serial.run(*call)) != tasks:
        raise Unfinished


def _run_on_threads(kernel: int, plan: int, start: int, tasks: int, *operands: int) -> int:
    """Run tasks, on numba's threads if they are free; returns how many were done."""
    if not _forked:
        threads = numba.get_num_threads()
        me = threading.get_ident()
        if threads > 1 and _launching.setdefault("thread", me) == me:
            try:
                chunks = min(tasks, threads * _CHUNKS_PER_THREAD)
                failed = np.zeros(1, np.int64)
                return _parallel.run(kernel, plan, start, tasks, *operands, chunks, id(failed))
            finally:
                _launching.pop("thread", None)
    return _serial.run(kernel, plan, start, tasks, *operands)


# What a thread holds while it compiles, and what it holds inside LLVM: to free a function, it goes
# there without numba's lock.
_COMPILERS_LOCKS = (global_compiler_lock, getattr(ffi.lib, "_lock", contextlib.nullcontext()))


def _before_fork() -> None:
    """Wait until no other thread compiles: in the child it would never end."""
    for lock in _COMPILERS_LOCKS:
        lock.__enter__()


def _after_fork() -> None:
    for lock in reversed(_COMPILERS_LOCKS):
        lock.__exit__(None, None, None)


def _after_fork_in_child() -> None:
    global _forked
    _forked = True
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_after_fork_in_child,
    )
