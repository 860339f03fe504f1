"""scikit-image's block_reduce and plain NumPy, for windows side by side, on one thread."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data, result_dtype
from benchmarks.peers.peer import Peer, Run

# Up to so many taps, NumPy adds slices up; beyond, it reduces axes of a reshaped view.
_SLICES = 25


def _supports_skimage(case: Case) -> bool:
    plain = not case.backward and not case.indices and case.dtype != "float16"
    return plain and case.apart and case.operator != "lp" and not case.result


def _prepare_skimage(data: Data) -> Run:
    from skimage.measure import block_reduce

    x = _cropped(data)
    block = [1] * x.ndim
    for axis, k in zip(data.case.axis, data.case.kernel_size, strict=True):
        block[axis] = k
    function = np.max if data.case.operator == "max" else np.mean
    return Run(lambda: block_reduce(x, tuple(block), function), lambda result: (result,))


def _supports_numpy(case: Case) -> bool:
    if case.backward:
        divides = all(n % k == 0 for n, k in zip(case.lengths, case.kernel_size, strict=True))
        return case.operator == "avg" and case.apart and divides
    if case.indices:
        return case.whole and case.indices is True
    whole_numbers = case.operator == "lp" and np.dtype(case.dtype).kind != "f"
    return case.apart and case.dtype != "float16" and not whole_numbers


def _prepare_numpy(data: Data) -> Run:
    case = data.case
    if case.backward:
        return _mean_backward(data)
    x = _cropped(data)
    if case.indices:
        return _largest_and_where(case, x)
    reduce = _by_slices if case.taps <= _SLICES else _by_axes
    dtype = result_dtype(case)
    wide = np.dtype(np.float64) if case.result else dtype

    def call() -> np.ndarray:
        if case.operator == "max":
            return reduce(case, x, np.maximum, dtype)
        if case.operator == "avg":
            sums = reduce(case, x, np.add, wide)
            sums /= case.taps
            return np.rint(sums).astype(dtype) if case.result else sums
        if case.p == math.inf:
            return reduce(case, np.abs(x), np.maximum, dtype)
        if case.p == 2:
            return np.sqrt(reduce(case, x * x, np.add, dtype))
        if case.p == 1:
            return reduce(case, np.abs(x), np.add, dtype)
        return reduce(case, np.abs(x) ** case.p, np.add, dtype) ** (1 / case.p)

    return Run(call, lambda result: (result,))


def _cropped(data: Data) -> np.ndarray:
    """As much of x as windows cover."""
    case = data.case
    inner = [slice(None)] * len(case.shape)
    for axis, k in zip(case.axis, case.kernel_size, strict=True):
        inner[axis] = slice(case.shape[axis] // k * k)
    x = data.x[tuple(inner)]
    return np.require(x, x.dtype.newbyteorder("="), ["C", "A", "W"])


def _by_slices(
    case: Case, x: np.ndarray, combine: Callable[..., Any], dtype: np.dtype
) -> np.ndarray:
    total = None
    for tap in product(*(range(k) for k in case.kernel_size)):
        index = [slice(None)] * x.ndim
        for axis, first, k in zip(case.axis, tap, case.kernel_size, strict=True):
            index[axis] = slice(first, None, k)
        part = x[tuple(index)]
        total = part.astype(dtype) if total is None else combine(total, part, out=total)
    assert total is not None
    return total


def _by_axes(case: Case, x: np.ndarray, combine: Any, dtype: np.dtype) -> np.ndarray:
    view, axes = _split(case, x)
    return combine.reduce(view, axis=axes, dtype=dtype)


def _split(case: Case, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """Each window axis as two, of windows and of taps; and where those of taps are."""
    shape: list[int] = []
    axes = []
    for axis, n in enumerate(x.shape):
        if axis in case.axis:
            k = case.kernel_size[case.axis.index(axis)]
            shape += [n // k, k]
            axes.append(len(shape) - 1)
        else:
            shape.append(n)
    return x.reshape(shape), tuple(axes)


def _mean_backward(data: Data) -> Run:
    case = data.case
    assert data.grad is not None
    grad = np.require(data.grad, data.grad.dtype.newbyteorder("="), ["C", "A", "W"])

    def call() -> np.ndarray:
        result = np.empty(case.shape, grad.dtype)
        view, axes = _split(case, result)
        view[...] = np.expand_dims(grad / grad.dtype.type(case.taps), axes)
        return result

    return Run(call, lambda result: (result,))


def _largest_and_where(case: Case, x: np.ndarray) -> Run:
    rows = np.moveaxis(x, case.axis, range(-case.rank, 0))
    rows = np.ascontiguousarray(rows.reshape(*rows.shape[: -case.rank], -1))
    shape = case.output_shape

    def call() -> tuple[np.ndarray, np.ndarray]:
        where = rows.argmax(-1, keepdims=True)
        return np.take_along_axis(rows, where, -1), where

    return Run(call, lambda result: tuple(a.reshape(shape) for a in result))


SKIMAGE = Peer("scikit-image", "scikit-image", 1, _supports_skimage, _prepare_skimage)
NUMPY = Peer("NumPy", "numpy", 1, _supports_numpy, _prepare_numpy)
