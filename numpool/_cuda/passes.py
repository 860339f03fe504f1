"""Large windows axis by axis: the cost of a window is then that of its sides, not of its area."""

from __future__ import annotations

import math

from numpool._windows import Axis, Windows

# Windows of up to so many taps are taken at once.
MOST_TAPS = 49


def _taps(axis: Axis) -> int:
    """The taps of a window that may hold data."""
    return min(axis.trimmed().kernel, axis.length)


def _over(windows: Windows, shape: tuple[int, ...], order: list[int], back: bool) -> list[Windows]:
    """Windows over one axis after the other, from an input of `shape` or, `back`, to it."""
    of = dict(zip(windows.axes, windows.windows, strict=True))
    done = list(windows.shape if back else shape)
    found = []
    for axis in order:
        done[axis] = of[axis].length if back else of[axis].outputs
        found.append(Windows((axis,), (of[axis],), tuple(done)))
    return found


def forward(windows: Windows, shape: tuple[int, ...]) -> list[Windows]:
    """The passes of a forward call, each with the shape of its result; one if that is cheaper."""
    of = dict(zip(windows.axes, windows.windows, strict=True))
    taps = {a: _taps(w) for a, w in of.items() if not w.trivial}
    if len(taps) < 2 or math.prod(taps.values()) <= MOST_TAPS:
        return [windows]
    # What leaves the least to the next comes first.
    order = sorted(taps, key=lambda a: of[a].outputs / max(of[a].length, 1))
    return _over(windows, shape, order, back=False)


def backward(windows: Windows) -> list[Windows]:
    """The passes of a backward call, each with the shape of its result."""
    of = dict(zip(windows.axes, windows.windows, strict=True))
    taps = {a: w.adjoint().kernel for a, w in of.items() if not w.trivial}
    if len(taps) < 2 or math.prod(taps.values()) <= MOST_TAPS:
        return [windows._replace(shape=())]
    order = sorted(taps, key=lambda a: of[a].length / of[a].outputs)
    return _over(windows, (), order, back=True)
