"""Plans of an arg-max over channels that is taken tap by tap: see _cpu/arg_taps.py."""

from __future__ import annotations

import math

import numpy as np

from numpool._cpu.arg_taps import FEW_LANES
from numpool._cut import TASKS, most_taps
from numpool._plans import AXES, Builder, Codes, Plan, items_of
from numpool._views import View

# As many channels make up for taps that windows share, which are combined once otherwise.
_MANY_CHANNELS = 64


def taps_plan(view: View, walk: tuple, codes: Codes, tasks: int = TASKS) -> Plan | None:
    """The plan of a `walk` over channels, named with the dtypes of values and of indices; None
    where it is no gain.
    """
    if not _is_worthwhile(view, *walk[1:]):
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


def _is_worthwhile(view: View, dtype: str, index: str) -> bool:
    """Whether windows of many channels, side by side in memory, hardly overlap, and taps are walked
    in C order.
    """
    axes = [d.axis for d in (view.depth, view.rows, view.columns) if d.axis is not None]
    channels, column = view.channels.window.length, view.columns.window.trimmed()
    # What many windows share is combined once where lines are windowed.
    most = 2 if channels < _MANY_CHANNELS else 3
    shared = column.kernel > most * column.stride
    if channels < FEW_LANES or shared or axes != sorted(axes):
        return False
    value, number = np.dtype(dtype).itemsize, np.dtype(index).itemsize
    source, _, out, extra = view.channels.strides
    return (source, out, extra) == (value, value, number)
