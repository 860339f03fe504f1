"""Large windows in passes, so that their cost hardly grows with their taps: axis by axis, and along
an axis as windows of windows.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from numpool._windows import Axis, Windows

# Windows over several axes of up to so many taps are taken at once; those that are alone on their
# axes, of up to so many, by a warp.
MOST_TAPS, _WHOLE = 49, 32 * 49
# What else a thread does, in taps; a launch, in taps of each thread of a busy device; and these.
_PASS, _LAUNCH, _THREADS = 8, 64, 2**17
# The largest windows that others are made of.
_LONGEST = 1024


class Pass(NamedTuple):
    """Windows along one axis, with the shape of what they give; those of others change nothing.

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


def _cost(threads: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The cost of a pass, in taps; a device is as busy with few threads as with many."""
    return np.maximum(threads, _THREADS) * (taps + _PASS) + _THREADS * _LAUNCH


def _cost_of(
    inputs: Any, outputs: Any, kernel: Any, stride: Any, dilation: Any, others: float, back: bool
) -> np.ndarray:
    """The cost of windows along `others` axes side by side; `back`, of their backward pass."""
    if not back:
        return _cost(outputs * others, kernel)
    every = np.maximum(stride // np.gcd(stride, dilation), 1)
    return _cost(inputs * others, np.minimum(-(-kernel // every), outputs))


@functools.lru_cache(512)
def split(axis: Axis, others: int, overlap: bool, back: bool = False) -> Split | None:
    """The windows along an axis in two, if that is cheaper for `others` such axes side by side.
    With `overlap`, taps may be taken twice.
    """
    window = axis.trimmed()
    length, outputs, kernel, dilation = (
        window.length, window.outputs, window.kernel, window.dilation
    )  # fmt: skip
    stride = window.stride if outputs > 1 else 0  # any is right
    apart = np.arange(2, min(kernel // 2, _LONGEST) + 1)
    if not apart.size:
        return None
    count, left = kernel // apart, kernel % apart
    size, rest = (apart + left, 0 * left) if overlap else (apart, left)
    common = np.gcd(stride, apart * dilation)
    # Those that start behind the data hold none.
    last = (outputs - 1) * stride + (count - 1) * apart * dilation
    starts = np.minimum(last, length + window.before - 1) // common + 1
    beside = float(others), back
    costs = _cost_of(length, starts, size, common, dilation, *beside)
    over = _cost_of(starts, outputs, count, stride // common, apart * dilation // common, *beside)
    costs += over + (rest > 0) * _cost_of(length, outputs, rest, stride, dilation, *beside)
    costs[starts > 2 * length] = np.inf  # of windows that start in the padding, nearly all
    best = int(costs.argmin())
    if costs[best] >= _cost_of(length, outputs, kernel, stride, dilation, *beside):
        return None
    m, n, q, r, g = (int(numbers[best]) for numbers in (apart, size, count, rest, common))
    of = window._replace(kernel=n, stride=g, after=0, outputs=int(starts[best]))
    return Split(
        of,
        Axis(of.outputs, q, max(stride // g, 1), m * dilation // g, 0, 0, outputs),
        window._replace(kernel=r, before=window.before - q * m * dilation, after=0) if r else None,
        m,
        (axis.before - window.before) // dilation,
    )


def shared(windows: Windows) -> float:
    """In how many windows an element is."""
    return math.prod(w.trimmed().kernel / w.stride for w in windows.windows if w.outputs > 1)


def _along(axis: int, window: Axis, shape: tuple[int, ...], back: bool = False) -> Windows:
    """Windows along an axis of an array of `shape`, which is given their inputs, or `back` their
    outputs; with the shape of what they make of it.
    """
    made = window.length if back else window.outputs
    return Windows((axis,), (window,), (*shape[:axis], made, *shape[axis + 1 :]))


def _in_order(windows: Windows, back: bool) -> list[tuple[int, Axis]]:
    """The axes in the order of passes; none where all at once is cheaper."""
    of = {a: w for a, w in zip(windows.axes, windows.windows, strict=True) if not w.trivial}
    if back:
        taps = {a: w.adjoint().kernel for a, w in of.items()}
    else:
        taps = {a: min(w.trimmed().kernel, w.length) for a, w in of.items()}
    most = MOST_TAPS if any(w.outputs > 1 for w in of.values()) else _WHOLE
    if math.prod(taps.values()) <= most and (len(taps) != 1 or most == _WHOLE):
        return []
    growth = {a: w.outputs / max(w.length, 1) for a, w in of.items()}
    # What leaves the least to the next comes first.
    return sorted(of.items(), key=lambda item: growth[item[0]], reverse=back)


def _along_axes(
    windows: Windows, shape: tuple[int, ...], overlap: bool, back: bool = False
) -> list[Pass]:
    """The passes from an array of `shape`; less than two where all at once is cheaper."""
    passes: list[Pass] = []
    for axis, window in _in_order(windows, back):
        found = split(window, math.prod(shape) // max(shape[axis], 1), overlap, back)
        if found is None:
            passes.append(Pass(_along(axis, window, shape, back)))
        else:
            first, second = (found.over, found.of) if back else (found.of, found.over)
            rest = found.rest and _along(axis, found.rest, shape, back)
            last = _along(axis, second, shape, back)
            passes.append(Pass(_along(axis, first, shape, back)))
            passes.append(Pass(last, rest, 0, found.apart, found.skipped))
        shape = passes[-1].windows.shape
    return passes


def forward(windows: Windows, shape: tuple[int, ...], overlap: bool) -> list[Pass]:
    """The passes of a forward call on an input of `shape`; with `overlap`, taps may be taken
    twice.
    """
    passes = _along_axes(windows, shape, overlap)
    if len(passes) <= 1:
        return [Pass(windows)]
    # Axes whose windows change nothing count in positions: they go with the first pass.
    kept = [(a, w) for a, w in zip(windows.axes, windows.windows, strict=True) if w.trivial]
    start = passes[0].windows
    axes, beside = zip(*sorted([*kept, (start.axes[0], start.windows[0])]), strict=True)
    passes[0] = passes[0]._replace(windows=Windows(axes, beside, start.shape))
    return passes


def backward(windows: Windows, shape: tuple[int, ...]) -> list[Pass]:
    """The passes of the backward call of sums, to an input of `shape`."""
    passes = _along_axes(windows, windows.shape, overlap=False, back=True)
    return passes if len(passes) > 1 else [Pass(windows._replace(shape=shape))]


def axis_by_axis(windows: Windows, shape: tuple[int, ...]) -> list[Windows]:
    """The windows over an input of `shape` one axis after the other, from the innermost on, if that
    is cheaper in the backward call of maxima.

    Of equal values, the first in C order is then that of the first plane, of the first line there.
    """
    if len(_in_order(windows, back=True)) < 2:
        return [windows]
    found = []
    for axis, window in zip(reversed(windows.axes), reversed(windows.windows), strict=True):
        if not window.trivial:
            found.append(_along(axis, window, shape))
            shape = found[-1].shape
    return found
