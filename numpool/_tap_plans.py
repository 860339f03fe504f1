"""Plans of an arg-max whose taps are compared one by one: see _cpu/arg_taps.py, arg_runs.py and
arg_columns.py.
"""

from __future__ import annotations

import math

import numpy as np

from numpool._cpu import arg_columns, arg_runs, arg_taps
from numpool._cpu.target import has_wide_vectors
from numpool._cut import LINE_BYTES, TASKS, most_taps, parts
from numpool._plans import (
    AXES,
    Builder,
    Codes,
    Plan,
    Rows,
    folded_taps,
    index_codes,
    items_of,
    take_of,
    trimmed_axes,
)
from numpool._views import View
from numpool._windows import Axis, Windows

# As many channels make up for taps that windows share, which are combined once otherwise; so many
# taps in any case, or where lines of packed values would not fit the cache: 1.5 to 9 times as fast.
_MANY_CHANNELS = 64
_FEW_TAPS, _FEW_TAPS_OF_LONG_LINES = 12, 256
_PACKED_BYTES = 8
# As many channels lie long enough in one piece that columns may be walked along the rows: 1.3 to
# 1.6 times.
_CHANNELS_OUT_OF_ORDER = 256
# So many taps for each place that windows go ahead are compared in less time than lines take whose
# values are packed; twice as many of 64 bits, which cannot be: 1.2 to 2.3 times as fast.
_COLUMN_TAPS = 16
# What is laid out of a row, and of a band of rows.
_ROW_BYTES, _BAND_BYTES = 1 << 14, 1 << 17
_BAND_ROWS = 8


def taps_plan(
    view: View, windows: Windows, rows: Rows, offsets: bool, tasks: int = TASKS
) -> Plan | None:
    """The plan of such a walk; None where it is no gain."""
    if rows.taps is None:
        return None
    dtype, index, *_ = rows.taps
    if are_columns(view, dtype):
        codes = index_codes(view, windows, offsets)
        return _columns_plan(view, rows.taps, codes, tasks, rows.swapped)
    if rows.swapped:
        return None
    if _are_of_many_channels(view, dtype, index):
        walk, view = "argmax_by_taps", _in_order(view)
    elif are_runs(view, np.dtype(dtype).itemsize, arg_runs.LANES):
        walk = "argmax_by_runs"
    else:
        return None
    axes = trimmed_axes(view)
    depth, row, column = axes
    pieces = items_of(view) * depth.outputs
    bands, band_rows = parts(row.outputs, min(-(-tasks // pieces), row.outputs))
    tiles, tile_columns = parts(column.outputs, min(-(-tasks // (pieces * bands)), column.outputs))
    cut = {
        "bands": bands, "band_rows": band_rows, "tiles": tiles, "tile_columns": tile_columns,
        "cached": tasks == 1,
    }  # fmt: skip
    return _plan((walk, *rows.taps), view, axes, index_codes(view, windows, offsets), cut)


def are_runs(view: View, itemsize: int, shortest: int) -> bool:
    """Whether windows are of so many neighbours in memory at least, and hardly overlap; elements of
    the source have some bytes.
    """
    column = view.columns.window.trimmed()
    return (
        view.channels.window.length == 1
        and view.depth.window.trivial
        and view.rows.window.trivial
        and view.columns.strides[0] == itemsize
        and column.dilation == 1
        and column.stride * 2 >= column.kernel >= shortest
    )


def are_columns(view: View, dtype: str) -> bool:
    """Whether windows of few taps, along rows of single columns, all hold data, and taps are walked
    in C order; of windows that overlap, where the CPU has wide vectors.
    """
    depth, row, column = axes = trimmed_axes(view)
    if view.channels.window.length > 1 or view != _in_order(view):
        return False
    if column.outputs < arg_columns.LANES or column.stride not in arg_columns.STRIDES:
        return False
    # Elsewhere packed values are compared in several steps: others take 0.45 to 0.9 of the time.
    if has_wide_vectors() and (depth.kernel > 1 or column.kernel <= column.stride):
        return False
    if not all(axis.all_hold_data and axis.stride <= axis.reach for axis in axes):
        return False
    few = _COLUMN_TAPS * row.stride * column.stride * max(np.dtype(dtype).itemsize // 4, 1)
    return folded_taps(depth, row) * column.kernel <= few


def _are_of_many_channels(view: View, dtype: str, index: str) -> bool:
    """Whether windows of many channels, side by side in memory, share few taps."""
    channels, column = view.channels.window.length, view.columns.window.trimmed()
    least = arg_taps.FEW_LANES if view == _in_order(view) else _CHANNELS_OUT_OF_ORDER
    if channels < least:
        return False
    # What many windows share is combined once where lines are windowed.
    windows, few = 2, 0
    if channels >= _MANY_CHANNELS:
        long = column.reach * channels * _PACKED_BYTES > LINE_BYTES
        windows, few = 3, _FEW_TAPS_OF_LONG_LINES if long else _FEW_TAPS
    taps = math.prod(most_taps(d.window) for d in (view.depth, view.rows, view.columns))
    if column.kernel > windows * column.stride and taps > few:
        return False
    value, number = np.dtype(dtype).itemsize, np.dtype(index).itemsize
    source, _, out, extra = view.channels.strides
    return (source, out, extra) == (value, value, number)


def _in_order(view: View) -> View:
    """The view with depth, rows and columns in the order of the array's axes, in which taps are
    counted: channels are vectors whatever lies between them.
    """
    dimensions = (view.depth, view.rows, view.columns)
    depth, rows, columns = sorted(dimensions, key=lambda d: -1 if d.axis is None else d.axis)
    return View(view.batch, depth, rows, columns, view.channels)


def _plan(
    walk: tuple,
    view: View,
    axes: tuple[Axis, Axis, Axis],
    codes: Codes,
    cut: dict[str, int],
) -> Plan:
    builder = Builder(view)
    for name, axis in zip(AXES, axes, strict=True):
        builder.axis(name, axis)
    builder.codes(codes)
    items, channels = items_of(view), view.channels.window.length
    builder.set(items=items, channels=channels, blocks=1, **cut)
    outputs = items * channels * math.prod(axis.outputs for axis in axes)
    work = outputs * math.prod(map(most_taps, axes)) * 4
    return builder.plan(walk, items * axes[0].outputs * cut["bands"] * cut["tiles"], work)


def _columns_plan(view: View, taps: tuple, codes: Codes, tasks: int, swapped: bool) -> Plan:
    axes = depth, row, column = trimmed_axes(view)
    itemsize, lanes, stride = np.dtype(taps[0]).itemsize, arg_columns.LANES, column.stride
    tiles, tile_columns = parts(
        column.outputs, -(-column.outputs * stride * itemsize // _ROW_BYTES)
    )
    # What a tile reads of a row, in vectors of each piece; the places of a piece that are written,
    # and that vectors of outputs reach.
    size = min((tile_columns - 1) * stride + column.reach, column.length)
    vectors = -(-size // (lanes * stride))
    written = max(column.before, 0) // stride + 1 + vectors * lanes
    reached = -(-tile_columns // lanes) * lanes + column.reach // stride
    pitch = -(-max(written, reached) // lanes) * lanes
    row_size = stride * pitch
    band_size = most_taps(depth) * row_size
    most_rows = max(_BAND_BYTES // (band_size * itemsize) - row.reach, 0) // row.stride + 1
    bands, band_rows = parts(
        row.outputs,
        max(
            -(-row.outputs // most_rows),
            min(-(-tasks // (items_of(view) * depth.outputs * tiles)), row.outputs // _BAND_ROWS),
        ),
    )
    rows = min((band_rows - 1) * row.stride + row.reach, row.length)
    most = folded_taps(depth, row) * column.kernel
    cut = {
        "bands": bands, "band_rows": band_rows, "tiles": tiles, "tile_columns": tile_columns,
        "batch_rows": rows, "pitch": pitch, "laid_size": rows * band_size,
        "loaded_size": vectors * lanes * stride, "level_size": most,
        "source_lines": view.columns.strides[0] == itemsize and not swapped,
        "take": take_of(view, itemsize, swapped),
    }  # fmt: skip
    return _plan(("argmax_by_columns", *taps), view, axes, codes, cut)
