"""Few large windows, each over all there is: in pieces, which threads share, and over what these
give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from numpool._cut import BLOCK_CHANNELS, TASKS
from numpool._plans import Codes, Divisor, FirstPass, Plan, Rows, walk_plan
from numpool._views import Dimension, View, covers, no_windows, tiles_exactly
from numpool._windows import Axis

# So few windows leave threads without work, if they are as large.
_FEW_WINDOWS, _LARGE_BYTES = 7, 1 << 21
_POOLED = ("depth", "rows", "columns")


def in_pieces(
    dtype: np.dtype,
    view: View,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    codes: Codes | None,
) -> Plan | None:
    """The plan of a forward walk over few large windows, each of all there is; None where one pass
    does as well. On two threads it takes a half of the time.
    """
    pooled = [name for name in _POOLED if not getattr(view, name).window.trivial]
    if codes is not None or not pooled or rows.look_back(numbers):
        return None
    outermost = pooled[0]
    view = _side_by_side(view, outermost)
    if not _is_large(view, pooled, dtype):
        return None
    taps = math.prod(getattr(view, name).window.length for name in pooled)
    length = getattr(view, outermost).window.length
    size = -(-length // min(TASKS, length))
    pieces = -(-length // size)
    in_pieces = Axis(length, size, size, 1, 0, pieces * size - length, pieces)
    parts = _with_windows(view, {outermost: in_pieces})
    of_pieces = {name: no_windows(1) for name in pooled}
    of_pieces[outermost] = Axis(pieces, pieces, pieces, 1, 0, 0, 1)
    # The intermediate is dense, in the view's order.
    stride, strides = dtype.itemsize * view.channels.window.length, [dtype.itemsize]
    for dimension in reversed((*parts.batch, parts.depth, parts.rows, parts.columns)):
        strides.insert(0, stride)
        stride *= dimension.window.outputs
    first = walk_plan(
        dtype,
        _with_strides(parts, 2, strides),
        rows.to_accumulators(dtype),
        Divisor(),
        numbers,
    )
    second = walk_plan(
        dtype,
        _with_strides(_with_windows(view, of_pieces), 0, strides),
        rows.of_accumulators(dtype),
        Divisor(override=float(taps) if divisor.override is None else divisor.override),
        numbers,
    )
    return second._replace(before=FirstPass(first, 1, stride // dtype.itemsize, dtype))


def _is_large(view: View, pooled: Sequence[str], dtype: np.dtype) -> bool:
    """Whether windows are of all there is along the pooled axes, so large and so few that threads
    would be left without work.
    """
    dimensions = (*view.batch, view.depth, view.rows, view.columns)
    # Blocks of channels are tasks, too; and what pieces of many channels give would be large.
    blocks = -(-view.channels.window.length // BLOCK_CHANNELS)
    count = blocks * math.prod(d.window.outputs for d in dimensions)
    elements = math.prod(d.window.length for d in (*dimensions, view.channels))
    whole = all(covers(getattr(view, name).window) for name in pooled)
    return whole and count <= _FEW_WINDOWS and elements * dtype.itemsize >= _LARGE_BYTES


def _with_windows(view: View, windows: dict[str, Axis]) -> View:
    """The view with other windows along some axes."""
    changed = {name: getattr(view, name)._replace(window=w) for name, w in windows.items()}
    return view._replace(**changed)


def _side_by_side(view: View, name: str) -> View:
    """The view with windows side by side along an axis as a batch of such axes."""
    dimension = getattr(view, name)
    window, strides = dimension.window, dimension.strides
    if window.outputs == 1 or not tiles_exactly(window):
        return view
    along = tuple(stride * window.kernel for stride in strides[:2]) + strides[2:]
    batch = (*view.batch, Dimension(no_windows(window.outputs), along))
    one = window._replace(length=window.kernel, outputs=1)
    return view._replace(batch=batch, **{name: dimension._replace(window=one)})


def _with_strides(view: View, operand: int, strides: Sequence[int]) -> View:
    """The view with an operand of other strides, from the outermost dimension to the innermost."""

    def changed(dimension: Dimension, stride: int) -> Dimension:
        own = list(dimension.strides)
        own[operand] = stride
        return dimension._replace(strides=tuple(own))

    dimensions = (*view.batch, *view[1:])
    depth, rows, columns, channels = map(changed, dimensions[-4:], strides[-4:])
    batch = tuple(map(changed, view.batch, strides))
    return View(batch, depth, rows, columns, channels)
