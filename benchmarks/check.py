"""Whether two results are the same."""

import math
from collections.abc import Sequence

import numba
import numpy as np

from benchmarks.cases import Case


class Disagreement(AssertionError):
    """Two that should do the same work give different values."""


def tolerance(case: Case, running: bool = False) -> tuple[float, float]:
    """How far results may lie apart: relative and absolute.

    Maxima and indices: not at all. Averages in an integer dtype: by one, since halves are rounded
    in two ways. Sums of n taps in the precision of the array: (16 + 4 * sqrt(n)) eps, times the
    power of Lp pooling, since peers add up n values one after the other. Errors of a running sum
    pile up along the axis: peers that keep one are allowed 4 * sqrt(length) eps.
    """
    dtype = np.dtype(case.dtype)
    if dtype.kind != "f":
        return (1e-12, 1.0 if case.result else 0.0)
    if case.operator == "max" and not case.backward:
        return (0.0, 0.0)
    eps = float(np.finfo(dtype).eps)
    if running:
        return (4 * math.sqrt(max(case.lengths)) * eps, 0.0)
    power = case.p if case.operator == "lp" and math.isfinite(case.p) else 1.0
    return ((16 + 4 * math.sqrt(case.taps)) * eps * max(power, 1.0), 0.0)


def agree(
    case: Case,
    name: str,
    found: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    running: bool = False,
) -> None:
    """Raise Disagreement unless values and indices are the same."""
    relative, absolute = tolerance(case, running)
    if len(found) != len(expected):
        raise Disagreement(f"{name} gives {len(found)} arrays for {len(expected)}")
    limits = [(relative, absolute), (0.0, 0.0)]
    for a, b, (rtol, atol) in zip(found, expected, limits, strict=False):
        if a.shape != b.shape:
            raise Disagreement(f"{name} gives shape {a.shape} for {b.shape}")
        a, b = (np.ascontiguousarray(array, _comparable(array)).ravel() for array in (a, b))
        differing = _differing(a, b, rtol, atol)
        if differing:
            worst = np.argmax(np.abs(a.astype(np.float64) - b))
            raise Disagreement(
                f"{name} differs in {differing} of {a.size} values: {a[worst]} for {b[worst]}"
            )


def _comparable(a: np.ndarray) -> np.dtype:
    """Native bytes, in a type that Numba computes with."""
    return a.dtype.newbyteorder("=") if a.dtype != np.float16 else np.dtype(np.float32)


@numba.njit(parallel=True, cache=True)
def _differing(a, b, rtol, atol):
    """How many values lie further apart than they may."""
    count = 0
    for i in numba.prange(a.size):
        x, y = float(a[i]), float(b[i])
        if not (x == y or abs(x - y) <= atol + rtol * abs(y)):
            count += 1
    return count
