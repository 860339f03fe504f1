"""Plans of short windows: see _cpu/short_windows.py.

The backward pass of an average whose windows start one after the other, and share a divisor, is one
over the adjoint windows: 0.4 to 0.8 of the time of the walk, and up to 1.1 where one column takes
five taps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numpool._cpu import library
from numpool._cpu.plan import OPERANDS
from numpool._cpu.short_loops import CHANNELS, PIXEL_WINDOW, ROW_VECTORS, SHORT
from numpool._cpu.short_rows import AVERAGES, LIMITED, STEPS
from numpool._cpu.vector_loops import VECTOR_BYTES
from numpool._cut import LINE_BYTES, TASKS, parts
from numpool._plans import (
    AXES,
    Builder,
    Divisor,
    Plan,
    Rows,
    channels_as_columns,
    dense,
    dense_lines,
    folded_taps,
    items_of,
    take_of,
    trimmed_axes,
    work_of,
)
from numpool._short_kernels import Finish, along_rows, finish_of, kept, of_pixels, side_by_side
from numpool._views import Dimension, View, no_windows
from numpool._windows import Axis

# More taps of depth and rows are combined as a tree, for the sake of sums.
_FEW_TAPS = 9
# Of pixels, up to as many along each axis, where an element is read for as many windows at most:
# 0.75 to 0.9 of the time of lines, and 1.2 to 2 times as long where it is read for more.
_MOST_READS = 7
# Planes that are pooled together stay in the cache meanwhile.
_BLOCK_BYTES = 1 << 16
# Of a vector, planes have to fill half, or more elements than these.
_LEAST_LANES = 15
# Rows of pixels are as many vectors long at least.
_PIXEL_VECTORS = 6
# Runs of neighbours have as many elements at least, and fewer vectors, of as many lanes: 0.45 to
# 0.8 of the time of runs one by one, or of lines. With more vectors it is about 1.
_SHORTEST_RUN, _LONGEST_RUN = 5, 8
_RUN_LANES = (8, 16)
# Stores that look at single taps again.
_LOOKING = ("store_root", "store_divided")
# A task has as many rows at least.
_BAND_ROWS = 8
# Results that are stored together, where they are not what is stored.
_BATCH_BYTES = 8192


class _Short(NamedTuple):
    """Windows that are looked at: of accumulators of a dtype, over a view, with axes trimmed; how
    they become results in registers that go to `out` at once, if they do.
    """

    dtype: np.dtype
    view: View
    depth: Axis
    row: Axis
    column: Axis
    rows: Rows
    finish: Finish | None

    @property
    def channels(self) -> int:
        return self.view.channels.window.length

    @property
    def lanes(self) -> int:
        return VECTOR_BYTES // self.dtype.itemsize

    @property
    def taps(self) -> int:
        """The most rows that are combined for a row of windows."""
        return folded_taps(self.depth, self.row)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Taps, stride and dilation along the columns."""
        return self.column.kernel, self.column.stride, self.column.dilation

    @property
    def step(self) -> int:
        """How many elements lie from a column of the source to the next."""
        assert self.rows.source is not None
        return self.view.columns.strides[0] // self.rows.source.itemsize

    @property
    def are_dense(self) -> bool:
        """Whether rows of the source are contiguous."""
        return self.rows.source is not None and dense(self.view, 0, self.rows.source)


class _Kernel(NamedTuple):
    """How windows are pooled: by a kernel of a name, made of those given; in tiles of `fewest`
    columns at least, in blocks of up to so many planes `together`.
    """

    name: Callable[[Finish], tuple]
    fewest: int = 1
    together: int = 1


def _looked_at(dtype: np.dtype, view: View, rows: Rows) -> _Short:
    fill = view.channels.window.length * dtype.itemsize >= VECTOR_BYTES
    if fill and view.depth.window == no_windows(1):
        view = channels_as_columns(view)
    taps = math.prod(d.window.kernel for d in (view.depth, view.rows, view.columns))
    finish = finish_of(dtype, rows, taps)
    if finish is not None and not dense_lines(view, finish.dtype):
        finish = None
    return _Short(dtype, view, *trimmed_axes(view), rows, finish)


def _kernel(short: _Short) -> _Kernel | None:
    """The kernel for short windows along long rows of the source, with data in each; None for
    others.
    """
    rows, column = short.rows, short.column
    if rows.source is None or not (short.depth.all_hold_data and short.row.all_hold_data):
        return None
    if short.channels > 1:
        name = functools.partial(of_pixels, rows, channels=short.channels)
        return _Kernel(name) if _are_pixels(short) else None
    if column == no_windows(column.length):
        name = functools.partial(side_by_side, "short_channels", rows)
        return _Kernel(name, short.lanes) if _are_channels(short) else None
    if _are_runs(short):
        return _Kernel(functools.partial(side_by_side, "short_runs", rows), short.lanes)
    if not _are_along_rows(short):
        return None
    windows = next(kind for kind, shapes in SHORT.items() if short.shape in shapes)
    name = functools.partial(along_rows, rows, windows=windows, step=short.step)
    together = 1
    if _is_narrow(short):
        plane = math.prod(axis.length for axis in (short.depth, short.row, column))
        together = max(_BLOCK_BYTES // (plane * short.dtype.itemsize), 1)
    return _Kernel(name, together=together)


def are_short(dtype: np.dtype, view: View, rows: Rows) -> bool:
    """Whether windows of accumulators of a dtype are short ones."""
    return _kernel(_looked_at(dtype, view, rows)) is not None


def short_plan(
    dtype: np.dtype,
    view: View,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    tasks: int = TASKS,
) -> Plan | None:
    """The plan of a walk that computes in `dtype`; None where windows are not short."""
    short = _looked_at(dtype, view, rows)
    kernel = _kernel(short)
    if kernel is None:
        return None
    make = functools.partial(_plan, short, kernel, divisor, numbers, tasks)
    plan = make(short.finish)
    if short.finish is not None and short.finish.name in LIMITED:
        # It gives up on sums that are not within limits: these are looked at one by one, and all
        # others come out the same.
        plan = plan._replace(otherwise=functools.cache(functools.partial(make, None)))
    return plan


def short_adjoint_plan(
    dtype: np.dtype, view: View, rows: Rows, divisor: float, tasks: int = TASKS
) -> Plan | None:
    """The plan of an average's backward pass, over the adjoint windows of a view, by one divisor;
    None where windows are not short, or do not start one after the other.
    """
    axes = view.depth, view.rows, view.columns
    depth, row, column = (d._replace(window=d.window.adjoint()) for d in axes)
    if any(d.window.phases.period > 1 for d in (depth, row, column)):
        return None
    adjoint = view._replace(depth=depth, rows=row, columns=column)
    return short_plan(dtype, adjoint, rows, Divisor(override=divisor), {}, tasks)


def _plan(
    short: _Short,
    kernel: _Kernel,
    divisor: Divisor,
    numbers: dict[str, float],
    tasks: int,
    finish: Finish | None,
) -> Plan:
    """The plan by a kernel; without a `finish` windows become results afterwards."""
    axes = depth, row, column = short.depth, short.row, short.column
    rows, channels, itemsize = short.rows, short.channels, short.dtype.itemsize
    view, planes = _in_blocks(short.view, 1 if finish is None else kernel.together, tasks)
    builder = Builder(view)
    for name, axis in zip(AXES, axes, strict=True):
        builder.axis(name, axis)
    builder.windows(view, divisor)
    items = items_of(view)
    size = column.outputs * column.stride * channels * itemsize
    tiles, tile_columns = _tiles(column.outputs, -(-size // LINE_BYTES), kernel.fewest)
    pieces = items * depth.outputs * tiles
    bands, band_rows = parts(
        row.outputs, max(min(-(-tasks // pieces), row.outputs // _BAND_ROWS), 1)
    )
    batch_rows = band_rows
    if finish is None:
        batch_rows = min(band_rows, max(_BATCH_BYTES // (tile_columns * channels * itemsize), 1))
    builder.set(
        items=items, channels=channels, blocks=1, block_channels=channels, itemsize=itemsize,
        bands=bands, band_rows=band_rows, tiles=tiles, tile_columns=tile_columns,
        batch_rows=batch_rows, result_pitch=tile_columns * channels,
        result_size=batch_rows * tile_columns * channels if finish is None else 0,
        out_lines=finish is not None, divided=finish is not None and finish.name in AVERAGES,
        short=library.address(*kernel.name(finish or kept(short.dtype))), **planes, **numbers,
    )  # fmt: skip
    if finish is None:
        assert rows.store is not None and rows.source is not None
        builder.set(store=library.address(*rows.store))
        if rows.swapped and rows.store[0] in _LOOKING:
            builder.set(take=take_of(view, rows.source.itemsize, rows.swapped))
    work = work_of(axes, items_of(short.view) * channels * itemsize)
    return builder.plan(("walk_short_windows",), pieces * bands, work)


def _tiles(columns: int, count: int, fewest: int) -> tuple[int, int]:
    """About so many tiles of so many columns, and of no fewer than some, as vectors of columns
    reach back where these end.
    """
    tiles, each = parts(columns, count)
    while tiles > 1 and columns - (tiles - 1) * each < fewest:
        tiles, each = parts(columns, tiles - 1)
    return tiles, each


def _in_blocks(view: View, most: int, tasks: int) -> tuple[View, dict[str, int]]:
    """The view with blocks of up to so many planes as its items, and what a plan says of them."""
    *others, inner = view.batch or (Dimension(no_windows(1), (0,) * len(OPERANDS)),)
    planes, rest = inner.window.length, math.prod(d.window.length for d in others)
    blocks, block = parts(planes, max(-(-planes // most), min(planes, -(-tasks // rest))))
    strides = tuple(stride * block for stride in inner.strides)
    batch = (*others, Dimension(no_windows(blocks), strides))
    return view._replace(batch=batch), {
        "planes": planes, "item_planes": block, "plane_items": blocks,
        "source_plane": inner.strides[0], "out_plane": inner.strides[2],
    }  # fmt: skip


def _are_runs(short: _Short) -> bool:
    """Whether windows are of some neighbours each, which all hold data, and go to `out` at once."""
    column, lanes = short.column, short.lanes
    return (
        short.finish is not None
        and short.taps == column.dilation == 1
        and short.are_dense
        and _SHORTEST_RUN <= column.kernel < _LONGEST_RUN * lanes
        and column.stride * 2 >= column.kernel
        and lanes in _RUN_LANES
        and column.outputs >= lanes
        and column.interior() == range(column.outputs)
        and not _are_listed(short)
    )


def _are_channels(short: _Short) -> bool:
    """Whether columns fill a vector, and so few taps are combined for windows of one column that
    each is loaded anew.
    """
    depth, row, taps = short.depth, short.row, short.taps
    few_reads = taps <= _MOST_READS * depth.stride * row.stride
    few = taps <= _FEW_TAPS or (few_reads and max(depth.kernel, row.kernel) <= _FEW_TAPS)
    return few and short.are_dense and short.column.length >= short.lanes


def _are_pixels(short: _Short) -> bool:
    """Whether windows are of pixels that lie side by side, some vectors of these in a row, and go
    to `out` at once.
    """
    return (
        short.finish is not None
        and short.taps <= _FEW_TAPS
        and not short.rows.swapped
        and short.are_dense
        and short.channels in CHANNELS
        and short.shape == PIXEL_WINDOW
        and short.column.length * short.channels >= _PIXEL_VECTORS * short.lanes
    )


def _are_along_rows(short: _Short) -> bool:
    """Whether there are loops for windows of single columns, and rows are as long as these need."""
    assert short.rows.source is not None
    return (
        short.taps <= _FEW_TAPS
        and short.view.columns.strides[0] % short.rows.source.itemsize == 0
        and short.step in STEPS.values()
        and _are_listed(short)
        and (_is_narrow(short) or short.column.length >= _fewest_columns(short))
    )


def _are_listed(short: _Short) -> bool:
    """Whether there are loops for windows of a shape."""
    return any(short.shape in shapes for shapes in SHORT.values())


def _is_narrow(short: _Short) -> bool:
    """Whether all windows along a row lie in few vectors, fill a good part of one, and go to `out`
    at once: 0.35 to 0.9 of the time of planes as channels. With less in a vector it is 1.1 to 1.5.
    """
    column, lanes = short.column, short.lanes
    reach = (column.outputs - 1) * column.stride + column.reach
    few = min(lanes // 2, _LEAST_LANES) < reach <= max(ROW_VECTORS) * lanes
    return few and short.finish is not None


def _fewest_columns(short: _Short) -> int:
    """How long rows of several vectors have to be: below, lines of many rows, or planes as
    channels, take 0.8 to 0.9 of the time, above, 1.1 to 3 times as long.
    """
    if short.column.kernel == short.column.stride and short.dtype.itemsize < 4:
        return 3 * short.lanes
    return min(short.lanes + 1, 32)
