"""Windows in two passes, with an intermediate between them.

Of volumes: along depth, and along rows and columns. Folded, the taps along depth are taken anew for
each output depth. Where they are many and overlap, the windows along depth are a pass of their own,
in which they slide like those over rows, to an intermediate of accumulators as large as a volume.
With 31 taps along each axis of a volume of 2 M float32, that takes 0.4 of the time.

Of few windows, each over all there is: over pieces, which threads share, and over what these give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from numpool._cut import BLOCK_CHANNELS, TASKS
from numpool._plans import (
    PARALLEL_BYTES,
    Codes,
    Divisor,
    FirstPass,
    Plan,
    Rows,
    items_of,
    walk_plan,
)
from numpool._views import Dimension, View, continues, covers, no_windows, tiles_exactly
from numpool._windows import Axis

# So few windows leave threads without work, if they are as large.
_FEW_WINDOWS, _LARGE_BYTES = 7, 1 << 21
_AXES = ("depth", "rows", "columns")


def in_two_passes(
    dtype: np.dtype,
    view: View,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    codes: Codes | None,
) -> Plan | None:
    """The plan of a forward walk that computes in `dtype`; None where one pass does as well."""
    if _looks_back(rows, numbers):
        return None
    size = view.depth.window.outputs * _plane(view)
    if size * dtype.itemsize < PARALLEL_BYTES or not _overlaps(view.depth.window):
        return None
    source = _intermediate(view, dtype)
    first = walk_plan(
        dtype,
        _along_depth(view, source),
        rows._replace(store=("store", dtype.name, dtype.name)),
        Divisor(),
        numbers,
        codes=None if codes is None else Codes((0, codes.taps[0], 0), (0, 0, 0), 0),
        volumes=True,
    )
    second = walk_plan(
        dtype,
        source,
        _of_intermediate(rows, dtype),
        divisor,
        numbers,
        codes=codes,
        volumes=True,
        depth_done=True,
    )
    return second._replace(before=FirstPass(first, items_of(view), size, dtype))


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
    pooled = [name for name in _AXES if not getattr(view, name).window.trivial]
    if codes is not None or not pooled or _looks_back(rows, numbers):
        return None
    outermost = pooled[0]
    view = _apart(view, outermost)
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
        rows._replace(store=("store", dtype.name, dtype.name)),
        Divisor(),
        numbers,
    )
    second = walk_plan(
        dtype,
        _with_strides(_with_windows(view, of_pieces), 0, strides),
        _of_intermediate(rows, dtype),
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


def _apart(view: View, name: str) -> View:
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


def _of_intermediate(rows: Rows, dtype: np.dtype) -> Rows:
    """The rows of a pass over accumulators."""
    plain = rows.lines[0] in ("max", "sum")
    source = dtype if plain else None
    return rows._replace(load=("load", dtype.name, dtype.name), source=source, swapped=False)


def _looks_back(rows: Rows, numbers: dict[str, float]) -> bool:
    """Whether results take a second look at single taps, which have to be in the source."""
    if rows.pairs or rows.store is None:
        return True
    return rows.store[0] == "store_root" and (numbers["low"] > 0.0 or numbers["high"] < math.inf)


def _overlaps(window: Axis) -> bool:
    """Whether windows along depth have more taps than are folded at once, and share most."""
    overlap = window.trimmed().kernel > 5 + 4 * window.stride
    return overlap and window.outputs <= window.length


def _plane(view: View) -> int:
    """The elements of a plane of the source."""
    return view.rows.window.length * view.columns.window.length * view.channels.window.length


def _intermediate(view: View, dtype: np.dtype) -> View:
    """The view with an intermediate as its source, the same for each item."""
    channels = view.channels.window.length * dtype.itemsize
    strides = {
        "depth": _plane(view) * dtype.itemsize,
        "rows": view.columns.window.length * channels,
        "columns": channels,
        "channels": dtype.itemsize,
    }
    inner = {name: _from(getattr(view, name), stride) for name, stride in strides.items()}
    return View(tuple(_from(d, 0) for d in view.batch), **inner)


def _from(dimension: Dimension, stride: int) -> Dimension:
    """A dimension along which the source has another stride."""
    return dimension._replace(strides=(stride, *dimension.strides[1:]))


def _along_depth(view: View, intermediate: View) -> View:
    """The windows along depth, as windows over rows that are as long as they can be: from the
    source to the intermediate.
    """

    def dimension(name: str, window: Axis | None = None) -> Dimension:
        own = getattr(view, name)
        strides = (own.strides[0], 0, getattr(intermediate, name).strides[0], 0)
        return Dimension(window or no_windows(own.window.length), strides)

    batch = tuple(Dimension(d.window, (d.strides[0], 0, 0, 0)) for d in view.batch)
    outer = dimension("rows")
    columns, channels = dimension("columns"), dimension("channels")
    if continues(outer, columns, (columns.window.length,) * 4):
        columns = columns._replace(window=no_windows(outer.window.length * columns.window.length))
        outer = Dimension(no_windows(1), (0,) * 4)
    if continues(columns, channels, (channels.window.length,) * 4):
        columns = channels._replace(window=no_windows(_plane(view) // outer.window.length))
        channels = Dimension(no_windows(1), (0,) * 4)
    return View(batch, outer, dimension("depth", view.depth.window), columns, channels)
