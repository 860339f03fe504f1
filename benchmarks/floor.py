"""The floor: the time it takes to read what a case reads and to write as many bytes as it writes.

A copy on all threads, into a new array: what is written is copied from the first input as far as
that reaches; what is left of the inputs is read and summed, what is left of the output filled. Of
the ways that were tried (numba loops, `np.copyto` on threads, one chunk a thread or chunks of 16 to
256 KiB), memcpy in chunks was the fastest into new arrays. Stores that bypass the caches are slower
there by a tenth.
"""

from collections.abc import Callable

import numba
import numpy as np
from numba import types

from benchmarks.data import Data

_memcpy = types.ExternalFunction("memcpy", types.voidptr(types.uintp, types.uintp, types.uintp))
_CHUNK = 1 << 16
# Below this many bytes NumPy's own copy is done before a compiled function has started.
_PARALLEL = 1 << 18


@numba.njit(cache=True)
def _read(a):
    total = np.uint64(0)
    for i in range(a.size):
        total += a[i]
    return total


@numba.njit(cache=True)
def _fill(a, value):
    for i in range(a.size):
        a[i] = value


@numba.njit(cache=True)
def _copy_chunk(inputs, out, chunk, chunks):
    """Copy, read and write one part of all arrays; the sum keeps the reads from being left out."""
    total = np.uint64(0)
    start = chunk * out.size // chunks
    stop = (chunk + 1) * out.size // chunks
    for i in range(len(inputs)):
        a = inputs[i]
        first = chunk * a.size // chunks
        last = (chunk + 1) * a.size // chunks
        if i == 0:
            n = min(last - first, stop - start)
            _memcpy(out.ctypes.data + 8 * start, a.ctypes.data + 8 * first, 8 * n)
            first += n
            start += n
        total += _read(a[first:last])
    _fill(out[start:stop], total)
    return total


@numba.njit(parallel=True, cache=True)
def _copy(inputs, out, chunks):
    total = np.uint64(0)
    for chunk in numba.prange(chunks):
        total += _copy_chunk(inputs, out, chunk, chunks)
    return total


def _copy_few(inputs, words):
    out = np.empty(words, np.uint64)
    for a in inputs:
        n = min(a.size, words)
        out[:n] = a[:n]
        for start in range(n, a.size, words):
            rest = a[start : start + words]
            out[: rest.size] = rest
    return out


def prepare(data: Data) -> Callable[[], np.ndarray]:
    """A call that moves as many bytes as the case."""
    inputs = tuple(_words(array) for array in data.read)
    words = -(-data.written // 8)
    moved = sum(array.nbytes for array in inputs) + 8 * words
    chunks = max(1, moved // _CHUNK)
    if moved < _PARALLEL:
        return lambda: _copy_few(inputs, words)
    return lambda: _copy(inputs, np.empty(words, np.uint64), chunks)


def _words(a: np.ndarray) -> np.ndarray:
    """An array of as many bytes as the memory that `a` spans, all of which has to be read."""
    steps = zip(a.shape, a.strides, strict=True)
    span = a.itemsize + sum((n - 1) * abs(stride) for n, stride in steps)
    return np.ones(-(-span // 8), np.uint64)
