"""Large windows in passes, so that their cost hardly grows with their taps: axis by axis, and along
an axis as windows of windows.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from numpool._windows import Axis, Windows

# Windows over several axes of up to so many taps are taken at once.
MOST_TAPS = 49
# What else a thread does, in taps; and a launch, in taps of each thread of a busy device.
_PASS, _LAUNCH = 8, 64
_THREADS = 2**17
# The largest windows that others are made of.
_LONGEST = 1024


class Pass(NamedTuple):
    """Windows along one axis, with the shape of what they give.

    Sums of windows of windows take the `rest` of their taps from what the pass before was given.
    To a position in the input this pass adds `places` times that of a tap, to an offset in a window
    the numbers of `skipped` taps and of `taps` for each tap.
    """

    windows: Windows
    rest: Windows | None = None
    places: int = 1
    taps: int = 1
    skipped: int = 0


class Split(NamedTuple):
    """Windows along an axis as windows `over` what windows `of` fewer taps give, which start
    `apart` taps from each other; `rest` are the taps that are left.
    """

    of: Axis
    over: Axis
    rest: Axis | None
    apart: int
    skipped: int


def _cost(threads: np.ndarray | float, taps: np.ndarray | int) -> np.ndarray:
    """The cost of a pass, in taps; a device is as busy with few threads as with many."""
    return np.maximum(threads, _THREADS) * (taps + _PASS) + _THREADS * _LAUNCH


@functools.lru_cache(512)
def split(axis: Axis, others: int, overlap: bool) -> Split | None:
    """The windows along an axis in two, if that is cheaper for `others` such axes side by side.
    With `overlap`, taps may be taken twice.
    """
    window = axis.trimmed()
    kernel, stride, dilation = window.kernel, window.stride, window.dilation
    apart = np.arange(2, min(kernel // 2, _LONGEST) + 1)
    if not apart.size:
        return None
    count = kernel // apart
    rest = kernel % apart
    size = apart + rest if overlap else apart
    rest = 0 * rest if overlap else rest
    common = np.gcd(stride, apart * dilation)
    # Those that start behind the data hold none.
    last = (window.outputs - 1) * stride + (count - 1) * apart * dilation
    starts = np.minimum(last, window.length + window.before - 1) // common + 1
    outputs = float(window.outputs * others)
    costs = _cost(starts * float(others), size) + _cost(outputs, count)
    costs += np.where(rest > 0, _cost(outputs, rest), 0.0)
    best = int(costs.argmin())
    if costs[best] >= _cost(outputs, kernel):
        return None
    m, q, r, g = (int(numbers[best]) for numbers in (apart, count, rest, common))
    of = window._replace(kernel=int(size[best]), stride=g, after=0, outputs=int(starts[best]))
    over = Axis(of.outputs, q, stride // g, m * dilation // g, 0, 0, window.outputs)
    left = None
    if r:
        left = window._replace(kernel=r, before=window.before - q * m * dilation, after=0)
    return Split(of, over, left, m, (axis.before - window.before) // dilation)


def _order(taps: dict[int, int], growth: dict[int, float]) -> list[int]:
    """The axes in the order of passes; none where all at once is cheaper."""
    if len(taps) != 1 and math.prod(taps.values()) <= MOST_TAPS:
        return []
    # What leaves the least to the next comes first.
    return sorted(taps, key=lambda axis: growth[axis])


def _along(axis: int, window: Axis, shape: tuple[int, ...], size: int) -> Windows:
    """Windows along an axis that make `size` of what an array of `shape` has there."""
    return Windows((axis,), (window,), (*shape[:axis], size, *shape[axis + 1 :]))


def forward(windows: Windows, shape: tuple[int, ...], overlap: bool) -> list[Pass]:
    """The passes of a forward call on an input of `shape`; with `overlap`, taps may be taken
    twice.
    """
    of = {a: w for a, w in zip(windows.axes, windows.windows, strict=True) if not w.trivial}
    taps = {a: min(w.trimmed().kernel, w.length) for a, w in of.items()}
    order = _order(taps, {a: w.outputs / max(w.length, 1) for a, w in of.items()})
    passes = []
    for axis in order:
        window = of[axis]
        found = split(window, math.prod(shape) // max(window.length, 1), overlap)
        if found is None:
            passes.append(Pass(_along(axis, window, shape, window.outputs)))
        else:
            first, second, rest = found.of, found.over, found.rest
            left = rest and _along(axis, rest, shape, rest.outputs)
            passes.append(Pass(_along(axis, first, shape, first.outputs)))
            last = _along(axis, second, shape, second.outputs)
            passes.append(Pass(last, left, 0, found.apart, found.skipped))
        shape = passes[-1].windows.shape
    return passes if len(passes) > 1 else [Pass(windows)]


def backward(windows: Windows, shape: tuple[int, ...]) -> list[Pass]:
    """The passes of the backward call of sums, to an input of `shape`."""
    of = {a: w for a, w in zip(windows.axes, windows.windows, strict=True) if not w.trivial}
    taps = {a: w.adjoint().kernel for a, w in of.items()}
    order = _order(taps, {a: w.length / w.outputs for a, w in of.items()})
    passes, done = [], windows.shape
    for axis in order:
        window = of[axis]
        found = split(window, math.prod(done) // window.outputs, overlap=False)
        if found is None:
            passes.append(Pass(_along(axis, window, done, window.length)))
        else:
            first, second, rest = found.over, found.of, found.rest
            left = rest and _along(axis, rest, done, rest.length)
            passes.append(Pass(_along(axis, first, done, first.length)))
            passes.append(Pass(_along(axis, second, done, second.length), left))
        done = passes[-1].windows.shape
    return passes if len(passes) > 1 else [Pass(windows._replace(shape=shape))]
