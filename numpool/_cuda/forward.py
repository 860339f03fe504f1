"""Forward passes on arrays of a GPU: which kernels, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpool import _rules
from numpool._cuda import library, passes, steps, tables
from numpool._cuda.elements import convert, converted, elementwise, in_dtypes
from numpool._cuda.libraries import DeviceArray
from numpool._cuda.passes import Pass
from numpool._cuda.plan import Numbers, codes_along, codes_of
from numpool._cuda.steps import Way, scratch, through
from numpool._plans import Divisor
from numpool._windows import Windows

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
# A power costs as much as writing it down and reading it again, several times over.
_SHARED = 8
# Within these, a gradient times the reciprocal is one over the divisor.
_DIVISORS = (2.0**-1000, 2.0**1000)


def maximum(x: DeviceArray, windows: Windows, out: DeviceArray) -> None:
    """The largest tap."""

    def run(windows: Windows, source: DeviceArray, result: DeviceArray, _: Any) -> None:
        steps.run(("max_forward", (x.dtype,)), windows, source.shape, Way(), source, result)

    through(x, passes.forward(windows, x.shape, overlap=True), x, out, x.dtype, run)


def arg_max(x: DeviceArray, windows: Windows, values: DeviceArray, indices: DeviceArray) -> None:
    """The largest tap and its index, in a signed type its position, in an unsigned one its
    offset.
    """
    if indices.dtype not in library.INDICES:
        longer = scratch(x, indices.shape, library.LONG)
        _arg_max(x, windows, values, longer, True)
        elementwise(("max_indices", (library.LONG, indices.dtype)), longer, indices)
    else:
        _arg_max(x, windows, values, indices, indices.dtype.kind == "u")


def _arg_max(
    x: DeviceArray, windows: Windows, values: DeviceArray, indices: DeviceArray, offsets: bool
) -> None:
    codes = codes_of(windows, offsets)
    found = passes.forward(windows, x.shape, overlap=True)
    if len(found) == 1:
        kernel = ("max_forward_indices", (x.dtype, indices.dtype))
        steps.run(kernel, windows, x.shape, Way(codes=codes), x, values, extra=indices)
        return
    source, given = x, None
    for step in found:
        shape, last = step.windows.shape, step is found[-1]
        result = values if last else scratch(x, shape, x.dtype)
        where = indices if last else scratch(x, shape, indices.dtype)
        way = Way(codes=codes_along(codes, step))
        family = "max_forward_indices" if given is None else "max_forward_indices_further"
        steps.run(
            (family, (x.dtype, indices.dtype)), step.windows, source.shape, way, source, result,
            other=given, extra=where,
        )  # fmt: skip
        source, given = result, where


def _for_places(x: DeviceArray, windows: Windows) -> tuple[DeviceArray, bool]:
    """Memory for offsets, or for positions if there are too many for a byte."""
    small = windows.taps <= np.iinfo(library.BYTE).max
    return scratch(x, windows.shape, library.BYTE if small else library.LONG), small


def chosen(x: DeviceArray, windows: Windows) -> tuple[DeviceArray, DeviceArray]:
    """The largest tap and its place."""
    indices, small = _for_places(x, windows)
    values = scratch(x, windows.shape, x.dtype)
    _arg_max(x, windows, values, indices, small)
    return values, indices


def places(x: DeviceArray, windows: Windows, magnitude: bool) -> DeviceArray:
    """The place of the largest tap, or of that of largest `magnitude`."""
    if len(passes.forward(windows, x.shape, overlap=True)) > 1:
        if magnitude:
            magnitudes = scratch(x, x.shape, x.dtype)
            elementwise(("lp_forward_largest", (x.dtype, x.dtype)), x, magnitudes)
            x = magnitudes
        return chosen(x, windows)[1]
    indices, small = _for_places(x, windows)
    kernel = ("max_forward_places", (x.dtype, indices.dtype, magnitude))
    steps.run(kernel, windows, x.shape, Way(codes=codes_of(windows, small)), x, indices)
    return indices


def average(x: DeviceArray, windows: Windows, divisor: Divisor, out: DeviceArray) -> None:
    """The sum of the taps over the divisor."""
    computed = _rules.average_type(x.dtype, out.dtype, divisor)
    found = passes.forward(windows, x.shape, overlap=False)
    if len(found) == 1:
        divided(x, windows, x.shape, divisor, computed, out, Way())
        return
    share = one_share(windows, divisor)
    sums = out if share is not None else scratch(x, out.shape, computed)

    def run(
        windows: Windows, source: DeviceArray, result: DeviceArray, rest: DeviceArray | None
    ) -> None:
        numbers = Numbers(divisor=share) if share is not None and result is out else Numbers()

        def launch(kernel: tuple, result: DeviceArray) -> None:
            steps.run(
                kernel, windows, source.shape, Way(), source, result, extra=rest, numbers=numbers
            )

        family = "avg_forward" if rest is None else "avg_forward_further"
        in_dtypes(launch, family, (source.dtype, computed), x, result)

    through(x, found, x, sums, computed, run)
    if share is None:
        divided(sums, windows, x.shape, divisor, computed, out, Way(shares=True))


def divided(
    source: DeviceArray, windows: Windows, shape: tuple[int, ...], divisor: Divisor,
    computed: np.dtype, out: DeviceArray, way: Way,
) -> None:  # fmt: skip
    """Sums of taps over the divisor of each window, of windows over an input of a shape."""
    numbers = Numbers()
    if divisor.override is None:
        way = way._replace(include_pad=divisor.count_include_pad)
    else:
        numbers = Numbers(divisor=divisor.override)

    def launch(kernel: tuple, result: DeviceArray) -> None:
        steps.run(kernel, windows, shape, way, source, result, numbers=numbers)

    in_dtypes(launch, "avg_forward", (source.dtype, computed), source, out)


def one_share(windows: Windows, divisor: Divisor) -> float | None:
    """The divisor that all windows have in common, if its reciprocal is as good."""
    if divisor.override is not None:
        low, high = _DIVISORS
        return divisor.override if low < abs(divisor.override) < high else None
    share = 1.0
    for axis in windows.windows:
        entries = tables.forward(axis, divisor.count_include_pad).entries[:, 2]
        if (entries != entries[0]).any():
            return None
        share *= float(entries[0])
    return share


def norm(x: DeviceArray, windows: Windows, p: float, out: DeviceArray, scale: float = 0.0) -> None:
    """The Lp norm."""
    numbers = Numbers(**_rules.lp_numbers(p, x.dtype, windows.taps, scale))
    found = passes.forward(windows, x.shape, overlap=p == np.inf)
    if len(found) == 1 and takes_powers_first(windows, p):
        found = [Pass(Windows((), (), x.shape)), Pass(windows)]
    # Where all is taken from scaled taps, passes are of no use.
    summed = len(found) > 1 and p != np.inf and numbers.low != np.inf
    if out.dtype != _DOUBLE and (summed or out.dtype != x.dtype):
        between = scratch(x, out.shape, _DOUBLE)
        norm(x, windows, p, between, scale)
        convert(between, out)
    elif summed:
        _norm_in_passes(x, windows, found, numbers, out)
    elif p == np.inf:

        def run(windows: Windows, source: DeviceArray, result: DeviceArray, _: Any) -> None:
            kernel = ("lp_forward_largest", (source.dtype, result.dtype))
            steps.run(kernel, windows, source.shape, Way(), source, result)

        through(x, found, x, out, out.dtype, run)
    else:
        form = library.norm_form(p, x.dtype, out.dtype)
        kernel = ("lp_forward", (x.dtype, out.dtype, form))
        steps.run(kernel, windows, x.shape, Way(), x, out, numbers=numbers)


def takes_powers_first(windows: Windows, p: float) -> bool:
    """Whether each element is in so many windows that its power is better taken once."""
    return library.lift_form(p) == "power" and passes.shared(windows) >= _SHARED


def _norm_in_passes(
    x: DeviceArray, windows: Windows, found: list[Pass], numbers: Numbers, out: DeviceArray
) -> None:
    """Powers are summed up first, and roots taken of the sums."""
    if x.dtype not in library.LIFTED:
        x = converted(x, _SINGLE if x.dtype == np.float16 else _DOUBLE)

    def run(
        windows: Windows, source: DeviceArray, result: DeviceArray, rest: DeviceArray | None
    ) -> None:
        kernel: tuple = ("lp_forward_powers", (x.dtype, library.lift_form(numbers.p)))
        if source is not x:
            family = "avg_forward" if rest is None else "avg_forward_further"
            kernel = (family, (_DOUBLE,) * 3)
        steps.run(kernel, windows, source.shape, Way(), source, result, extra=rest, numbers=numbers)

    sums = scratch(x, out.shape, _DOUBLE)
    through(x, found, x, sums, _DOUBLE, run)
    kernel = ("lp_forward_root", (x.dtype,))
    steps.run(kernel, windows, x.shape, Way(), x, out, extra=sums, numbers=numbers)
