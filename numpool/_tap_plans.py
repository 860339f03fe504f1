"""Plans of an arg-max whose taps are compared as they lie in memory: see _cpu/arg_taps.py and
_cpu/arg_runs.py.
"""

from __future__ import annotations

import math

import numpy as np

from numpool._cpu.arg_runs import LANES as RUN_LANES
from numpool._cpu.arg_taps import FEW_LANES
from numpool._cut import LINE_BYTES, TASKS, most_taps
from numpool._plans import AXES, Builder, Codes, Plan, items_of
from numpool._views import View

# As many channels make up for taps that windows share, which are combined once otherwise; so many
# taps in any case, or where lines of packed values would not fit the cache: 1.5 to 9 times as fast.
_MANY_CHANNELS = 64
_FEW_TAPS, _FEW_TAPS_OF_LONG_LINES = 12, 256
_PACKED_BYTES = 8


def taps_plan(view: View, dtypes: tuple[str, str], codes: Codes, tasks: int = TASKS) -> Plan | None:
    """The plan of such a walk over values and indices of two `dtypes`; None where it is no gain."""
    if _are_of_many_channels(view, *dtypes):
        walk = ("argmax_by_taps", *dtypes)
    elif are_runs(view, np.dtype(dtypes[0]).itemsize, RUN_LANES):
        walk = ("argmax_by_runs", *dtypes)
    else:
        return None
    builder = Builder(view)
    depth, row, column = (d.window.trimmed() for d in (view.depth, view.rows, view.columns))
    for name, window in zip(AXES, (depth, row, column), strict=True):
        builder.axis(name, window)
    builder.codes(codes)
    channels, items = view.channels.window.length, items_of(view)
    bands = min(-(-tasks // (items * depth.outputs)), row.outputs)
    band_rows = -(-row.outputs // bands)
    bands = -(-row.outputs // band_rows)
    tiles = min(-(-tasks // (items * depth.outputs * bands)), column.outputs)
    tile_columns = -(-column.outputs // tiles)
    tiles = -(-column.outputs // tile_columns)
    builder.set(
        items=items,
        channels=channels,
        bands=bands,
        band_rows=band_rows,
        tiles=tiles,
        tile_columns=tile_columns,
        blocks=1,
    )
    taps = math.prod(most_taps(window) for window in (depth, row, column))
    work = items * depth.outputs * row.outputs * column.outputs * channels * taps * 4
    return builder.plan(walk, items * depth.outputs * bands * tiles, work)


def _are_of_many_channels(view: View, dtype: str, index: str) -> bool:
    """Whether windows of many channels, side by side in memory, share few taps, and these are
    walked in C order.
    """
    axes = [d.axis for d in (view.depth, view.rows, view.columns) if d.axis is not None]
    channels, column = view.channels.window.length, view.columns.window.trimmed()
    if channels < FEW_LANES or axes != sorted(axes):
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
