"""Elements in other dtypes, and what is done to elements one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpool import _rules
from numpool._cuda import library, steps
from numpool._cuda.libraries import DeviceArray
from numpool._cuda.steps import Way, scratch
from numpool._plans import Divisor
from numpool._windows import Windows


def elementwise(
    kernel: tuple, source: DeviceArray, out: DeviceArray, other: DeviceArray | None = None,
    numbers: steps.Numbers | None = None,
) -> None:  # fmt: skip
    """Launch a kernel on elements one by one."""
    nothing = Windows((), (), source.shape)
    steps.run(kernel, nothing, source.shape, Way(), source, out, other=other, numbers=numbers)


def convert(source: DeviceArray, out: DeviceArray) -> None:
    """Write a result that was computed in another dtype."""
    computed = _rules.average_type(source.dtype, out.dtype, Divisor())
    elementwise(("avg_forward", (source.dtype, computed, out.dtype)), source, out)


def converted(array: DeviceArray, dtype: np.dtype) -> DeviceArray:
    """The array in a float dtype that is no narrower."""
    if array.dtype == dtype:
        return array
    wider = scratch(array, array.shape, dtype)
    convert(array, wider)
    return wider


def at_least(array: DeviceArray, dtype: np.dtype) -> DeviceArray:
    """The array, in a float dtype if its own is narrower."""
    return converted(array, dtype) if array.itemsize < dtype.itemsize else array


def in_dtypes(
    run: Callable[[tuple, DeviceArray], None],
    family: str,
    dtypes: tuple[np.dtype, ...],
    x: DeviceArray,
    out: DeviceArray,
) -> None:
    """Run a kernel, of some dtypes and that of the result. Where there is none for that, the last
    of `dtypes`, which is computed in, comes first.
    """
    kernel = family, (*dtypes, out.dtype)
    if library.has(*kernel):
        run(kernel, out)
    else:
        between = scratch(x, out.shape, dtypes[-1])
        run((family, (*dtypes, between.dtype)), between)
        convert(between, out)
