"""Backward passes on arrays of a GPU: which kernels, in which order. All arrays are on one stream,
that of `x`, the forward input.
"""

from __future__ import annotations

import numpy as np

from numpool import _rules
from numpool._cuda import forward, library, passes, steps
from numpool._cuda.elements import at_least, convert, converted, elementwise
from numpool._cuda.libraries import DeviceArray
from numpool._cuda.plan import Numbers, codes_of
from numpool._cuda.steps import Way, scratch, through
from numpool._plans import Divisor
from numpool._windows import Windows

_DOUBLE = np.dtype(np.float64)


def average(
    x: DeviceArray, gradient: DeviceArray, windows: Windows, out: DeviceArray, divisor: Divisor
) -> None:
    """The adjoint of the average."""
    gradient = at_least(gradient, x.dtype)
    share = forward.one_share(windows, divisor)
    computed = _rules.average_type(gradient.dtype, x.dtype, divisor)
    if share is None or computed != library.computed_gradient(gradient.dtype, x.dtype):
        shares = scratch(x, gradient.shape, computed)
        forward.divided(gradient, windows, x.shape, divisor, computed, shares, Way(shares=True))
        gradient, share = shares, 1.0
    _spread(x, gradient, windows, out, 1.0 / share)


def _spread(
    x: DeviceArray, gradient: DeviceArray, windows: Windows, out: DeviceArray, factor: float = 1.0
) -> None:
    """The adjoint of sums of taps, times a factor."""
    wider = library.computed_gradient(gradient.dtype, x.dtype)

    def run(
        windows: Windows, source: DeviceArray, result: DeviceArray, rest: DeviceArray | None
    ) -> None:
        numbers = Numbers(inverse=factor if source is gradient else 1.0)
        family, to = "avg_backward", result
        if rest is not None:
            family = "avg_backward_further"
            if result.dtype != wider:
                to = scratch(x, result.shape, wider)
        steps.run(
            (family, (source.dtype, to.dtype)), windows, result.shape, Way(backward=True), source,
            to, extra=rest, numbers=numbers,
        )  # fmt: skip
        if to is not result:
            convert(to, result)

    through(x, passes.backward(windows, x.shape), gradient, out, wider, run)


def norm(
    x: DeviceArray,
    gradient: DeviceArray,
    windows: Windows,
    y: DeviceArray | None,
    out: DeviceArray,
    p: float,
) -> None:
    """The derivative of the Lp norm."""
    if p == np.inf:
        places = forward.places(x, windows, magnitude=True)
        _to_indices(x, gradient, windows, places, out, signed=True)
        return
    scale = 0.0
    if y is None:
        # Norms that overflow, or would lose digits as subnormal numbers, come scaled: see
        # _operators.scaled_norm.
        scale = 2.0**200
        y = scratch(x, windows.shape, _DOUBLE)
        forward.norm(x, windows, p, y, scale)
    numbers = Numbers(**_rules.gradient_numbers(p, scale))
    if len(passes.backward(windows, x.shape)) > 1 or forward.takes_powers_first(windows, p):
        _norm_in_passes(x, gradient, windows, y, numbers, out)
        return
    if not gradient.dtype == y.dtype == x.dtype:
        y = at_least(y, _DOUBLE)
        if gradient.dtype != x.dtype:
            gradient = at_least(gradient, _DOUBLE)
    form = library.gradient_form(p)
    kernel = ("lp_backward", (gradient.dtype, y.dtype, x.dtype, form))
    steps.run(
        kernel, windows, x.shape, Way(backward=True), gradient, out, other=y, extra=x,
        numbers=numbers,
    )  # fmt: skip


def _norm_in_passes(
    x: DeviceArray,
    gradient: DeviceArray,
    windows: Windows,
    y: DeviceArray,
    numbers: Numbers,
    out: DeviceArray,
) -> None:
    """What outputs send to all of their taps is summed up first."""
    gradient, y = converted(gradient, _DOUBLE), converted(y, _DOUBLE)
    if x.dtype not in library.LIFTED:
        x = converted(x, np.dtype(np.float32))
    form = "one" if numbers.exponent == 0.0 else "power"
    passed = scratch(x, windows.shape, _DOUBLE)
    elementwise(("lp_backward_passed", (form,)), gradient, passed, other=y, numbers=numbers)
    result = out if out.dtype == _DOUBLE else scratch(x, x.shape, _DOUBLE)
    _spread(x, passed, windows, result)
    kernel = ("lp_backward_from_passed", (x.dtype, form))
    steps.run(
        kernel, windows, x.shape, Way(backward=True), gradient, result, other=y, extra=x,
        numbers=numbers,
    )  # fmt: skip
    if result is not out:
        convert(result, out)


def maximum(
    x: DeviceArray,
    gradient: DeviceArray,
    windows: Windows,
    indices: DeviceArray | None,
    out: DeviceArray,
) -> None:
    """Each gradient to the input that its index names, or to the largest tap of its window."""
    if indices is not None:
        _to_indices(x, gradient, windows, indices, out)
        return
    along = passes.axis_by_axis(windows, x.shape)
    if len(along) > 1:
        gradient = at_least(gradient, library.computed_gradient(gradient.dtype, x.dtype))
    source, found = x, []
    for step in along[:-1]:
        shape = source.shape
        source, where = forward.chosen(source, step)
        found.append((step, shape, where))
    found.append((along[-1], source.shape, forward.places(source, along[-1], magnitude=False)))
    while found:
        step, shape, where = found.pop()
        result = scratch(x, shape, gradient.dtype) if found else out
        _to_indices(x, gradient, step, where, result)
        gradient = result


def _to_indices(
    x: DeviceArray,
    gradient: DeviceArray,
    windows: Windows,
    indices: DeviceArray,
    out: DeviceArray,
    signed: bool = False,
) -> None:
    """Each gradient to the place in `out` that its index names, with the sign of x there if
    `signed`.
    """
    offsets = indices.dtype.kind == "u"
    if indices.dtype not in library.INDICES:
        longer = scratch(x, indices.shape, library.LONG)
        elementwise(("max_indices", (indices.dtype, library.LONG)), indices, longer)
        indices = longer
    gradient = at_least(gradient, out.dtype)
    way = Way(backward=True, codes=codes_of(windows, offsets, own=True))
    steps.run(
        ("max_backward", (gradient.dtype, indices.dtype, out.dtype, signed)), windows, out.shape,
        way, gradient, out, other=indices, extra=x if signed else None,
    )  # fmt: skip
