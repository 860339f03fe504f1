"""What lies between the launches of a call: conversions of dtypes, passes after each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from numpool import _rules
from numpool._cuda import library, steps
from numpool._cuda.libraries import DeviceArray
from numpool._cuda.passes import Pass
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


# Launches a step on a source, a result, and what joins the taps if anything does.
Run = Callable[[Windows, DeviceArray, DeviceArray, DeviceArray | None], None]


def through(
    like: DeviceArray,
    passes: Sequence[Pass],
    source: DeviceArray,
    out: DeviceArray,
    dtype: np.dtype,
    run: Run,
) -> None:
    """Take an array through passes to `out`, by intermediates of a dtype in the memory order of
    `like`.
    """
    before = source
    for step in passes:
        rest = None
        if step.rest is not None:
            rest = scratch(like, step.windows.shape, dtype)
            run(step.rest, before, rest, None)
        result = out if step is passes[-1] else scratch(like, step.windows.shape, dtype)
        run(step.windows, source, result, rest)
        before, source = source, result
