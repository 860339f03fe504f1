"""The arrays of a case, in its memory layout, and the same numbers as peers like them best."""

import math
import tempfile
from functools import lru_cache
from typing import NamedTuple

import numpy as np

import numpool
from benchmarks.cases import Case, Ints


class Data(NamedTuple):
    """What a case is computed from: x, and for a backward pass what its forward pass left."""

    case: Case
    x: np.ndarray
    grad: np.ndarray | None = None
    indices: np.ndarray | None = None
    y: np.ndarray | None = None

    @property
    def read(self) -> list[np.ndarray]:
        """The arrays whose values the result depends on."""
        case = self.case
        needs_x = not case.backward or case.operator == "lp"
        needs_x = needs_x or (case.operator == "max" and not case.indices)
        arrays = [self.x if needs_x else None, self.grad, self.indices, self.y]
        return [array for array in arrays if array is not None]

    @property
    def written(self) -> int:
        """The number of bytes of the results."""
        case = self.case
        if case.backward:
            return self.x.nbytes
        return sum(array.nbytes for array in outputs(case))


def make(case: Case) -> Data:
    """New arrays, the same ones each time.

    Floats lie in [0, 1), where Lp pooling is the same with and without PyTorch's rule of signs.
    """
    x = _arranged(case.shape, case.dtype, case.layout, case.axis)
    if not case.backward:
        return Data(case, x)
    grad = _arranged(case.output_shape, case.dtype, case.layout, case.axis)
    indices = y = None
    if case.indices:
        _, indices = numpool.max_pool(x, return_indices=case.indices, **case.window)
    if case.operator == "lp":
        y = numpool.lp_pool(x, p=case.p, **case.window)
    return Data(case, x, grad, indices, y)


# The operators that are measured on one setting share its arrays.
@lru_cache(maxsize=2)
def _arranged(shape: Ints, dtype: str, layout: str, axis: Ints) -> np.ndarray:
    """Random values in a memory layout."""
    a = _random(shape, np.dtype(dtype))
    if layout == "every second column":
        wide = np.zeros((*shape[:-1], 2 * shape[-1]), a.dtype)
        wide[..., ::2] = a
        return wide[..., ::2]
    if layout == "Fortran order":
        return np.asfortranarray(a)
    if layout == "negative strides":
        flip = tuple(slice(None, None, -1 if i in axis else 1) for i in range(a.ndim))
        return np.ascontiguousarray(a[flip])[flip]
    if layout == "byte-swapped":
        return a.astype(a.dtype.newbyteorder("S"))
    if layout == "read-only memmap":
        with tempfile.TemporaryFile() as file:
            a.tofile(file)
            return np.memmap(file, a.dtype, "r", shape=shape)
    assert layout == "C", layout
    return a


def _random(shape: Ints, dtype: np.dtype) -> np.ndarray:
    rng = np.random.default_rng(len(shape))
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    wide = dtype if dtype.itemsize > 2 else np.dtype("float32")
    return rng.random(shape, wide).astype(dtype, copy=False)


def outputs(case: Case) -> tuple[np.ndarray, ...]:
    """New arrays for the results of a forward pass, in C order."""
    values = np.empty(case.output_shape, result_dtype(case))
    if not case.indices:
        return (values,)
    kind = np.min_scalar_type(case.taps) if case.indices == "offset" else np.dtype(np.int64)
    return values, np.empty(case.output_shape, kind)


def result_dtype(case: Case) -> np.dtype:
    """The dtype of the values of a forward pass."""
    dtype = np.dtype(case.dtype)
    if case.result:
        return np.dtype(case.result)
    return dtype if case.operator == "max" or dtype.kind == "f" else np.dtype("float64")


def batched(case: Case, a: np.ndarray) -> np.ndarray:
    """`a` as (N, C, window axes), in C order and native bytes, as networks have it."""
    a = np.moveaxis(a, case.axis, range(-case.rank, 0))
    batch = a.shape[: -case.rank]
    batch = (1,) * (2 - len(batch)) + batch
    a = a.reshape(*batch, *a.shape[-case.rank :])
    return np.require(a, a.dtype.newbyteorder("="), ["C", "A", "W"])


def unbatched(case: Case, a: np.ndarray) -> np.ndarray:
    """(N, C, window axes) with the axes of the case again."""
    batch = len(case.shape) - case.rank
    a = a.reshape(a.shape[2 - batch :] if batch < 2 else a.shape)
    return np.moveaxis(a, range(-case.rank, 0), case.axis)


def positions(case: Case, indices: np.ndarray) -> np.ndarray:
    """Indices of any kind as flat positions in the window axes, batched."""
    found = batched(case, indices).astype(np.int64)
    if case.indices != "offset":
        return found
    lengths, steps = case.lengths, []
    # NumPy's unravel_index (2.4.6) is wrong behind 8192 elements if the last axes are of size 1.
    for i in range(case.rank):
        tap = found // math.prod(case.kernel_size[i + 1 :]) % case.kernel_size[i]
        shape = [1] * found.ndim
        shape[2 + i] = -1
        start = np.arange(found.shape[2 + i]).reshape(shape) * case.stride[i] - case.padding[i]
        steps.append((start + tap * case.dilation[i]) * math.prod(lengths[i + 1 :]))
    return sum(steps[1:], steps[0])
