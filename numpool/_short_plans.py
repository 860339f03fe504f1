"""Plans of short windows along rows: see _cpu/short_windows.py."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from numpool._cpu import library
from numpool._cpu.halves import has_conversions
from numpool._cpu.plan import OPERANDS
from numpool._cpu.short_loops import CHANNELS, PIXEL_WINDOW, ROW_VECTORS, SHORT
from numpool._cpu.short_rows import DIVIDED, KEPT, ROOTS, STEPS
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
# A task has as many rows at least.
_BAND_ROWS = 8
# Results that are stored together, where they are not what is stored.
_BATCH_BYTES = 8192


def short_plan(
    dtype: np.dtype,
    view: View,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    tasks: int = TASKS,
    to_finish: bool = True,
) -> Plan | None:
    """The plan of such a walk that computes in `dtype`; None where windows are others. `to_finish`:
    whether windows may become results in registers.
    """
    if not are_short(dtype, view, rows):
        return None
    view = _walked(dtype, view)
    axes = depth, row, column = trimmed_axes(view)
    itemsize = dtype.itemsize
    work = work_of(axes, items_of(view) * view.channels.window.length * itemsize)
    # What becomes a result in registers goes to `out` at once.
    finish = finish_at_once(dtype, view, rows) if to_finish else None
    channels = view.channels.window.length
    together = fewest = 1
    if channels == 1 and column == no_windows(column.length):
        kernel = dense_kernel("short_channels", dtype, rows, finish)
        fewest = VECTOR_BYTES // itemsize
    elif channels == 1 and _are_runs(dtype, view, rows):
        kernel = dense_kernel("short_runs", dtype, rows, finish)
        fewest = VECTOR_BYTES // itemsize
    elif channels == 1:
        windows = next(kind for kind in SHORT if _shape(column) in SHORT[kind])
        kernel = short_kernel(dtype, rows, finish, windows, _step(view, rows))
        if finish is not None and _is_narrow(dtype, view, rows, column):
            together = _BLOCK_BYTES // (math.prod(axis.length for axis in axes) * itemsize)
    else:
        words = (finish or Finish(KEPT, dtype)).words
        kernel = ("short_pixels", channels, *words, *rows.lines)

    whole, (view, planes) = view, _in_blocks(view, max(together, 1), tasks)
    builder = Builder(view)
    for name, axis in zip(AXES, axes, strict=True):
        builder.axis(name, axis)
    builder.windows(view, divisor)
    items = items_of(view)
    size = column.outputs * column.stride * channels * itemsize
    tiles, tile_columns = _tiles(column.outputs, -(-size // LINE_BYTES), fewest)
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
        out_lines=finish is not None, divided=finish is not None and finish.name in DIVIDED,
        short=library.address(*kernel), **planes, **numbers,
    )  # fmt: skip
    if finish is None:
        assert rows.store is not None and rows.source is not None
        builder.set(store=library.address(*rows.store))
        if rows.swapped and rows.store[0] == "store_root":  # which looks at single taps again
            builder.set(take=take_of(view, rows.source.itemsize, rows.swapped))
    plan = builder.plan(("walk_short_windows",), pieces * bands, work)
    if finish is not None and finish.name in ROOTS:
        # It gives up on sums that are not within limits: these are looked at one by one, and all
        # others come out the same.
        arguments = (dtype, whole, rows, divisor, numbers, tasks, False)
        plan = plan._replace(otherwise=functools.cache(lambda: short_plan(*arguments)))
    return plan


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


class Finish(NamedTuple):
    """How windows become results in registers, a name of short_rows.py, and the results' dtype."""

    name: str
    dtype: np.dtype

    @property
    def words(self) -> tuple[str, str]:
        """Its part in the name of a kernel."""
        return self.name, self.dtype.name


def short_kernel(
    dtype: np.dtype, rows: Rows, finish: Finish | None, windows: str, step: int
) -> tuple:
    """The name of the kernel: for accumulators of a dtype, windows of a kind, and columns so many
    elements apart.
    """
    columns = next(name for name, apart in STEPS.items() if apart == step)
    words = (finish or Finish(KEPT, dtype)).words
    return ("short", *words, windows, columns, _order_of(rows), *rows.lines)


def dense_kernel(family: str, dtype: np.dtype, rows: Rows, finish: Finish | None) -> tuple:
    """The name of a kernel for columns that lie side by side, of a family that has only such."""
    words = (finish or Finish(KEPT, dtype)).words
    return (family, *words, _order_of(rows), *rows.lines)


def _order_of(rows: Rows) -> str:
    """The order of bytes in rows of the source, as a word in the name of a kernel."""
    return "swapped" if rows.swapped else "native"


def finish_of(dtype: np.dtype, rows: Rows) -> Finish | None:
    """How windows of accumulators of a dtype become results in registers, if they do."""
    if rows.store is None:
        return None
    family, *names = rows.store
    result = np.dtype(names[1])
    if family == "store" and _are_written(dtype, result):
        return Finish(KEPT, result)
    if family == "store_average":
        _, _, quotient = names
        if _are_written(np.dtype(quotient), result):
            return Finish(f"divided_in_{quotient}", result)
    if family == "store_root":
        _, _, computed, root = names
        if root in ROOTS and _are_written(np.dtype(computed), result):
            return Finish(root, result)
    return None


def _are_written(computed: np.dtype, result: np.dtype) -> bool:
    """Whether vectors of a dtype can be stored as results."""
    if result == computed:
        return True
    if result.char == "e":
        return computed.char == "f" and has_conversions()
    if computed.kind != "f":
        return False
    return result.itemsize <= (computed.itemsize if result.kind == "f" else 4)


def finish_at_once(dtype: np.dtype, view: View, rows: Rows) -> Finish | None:
    """The same where results then go to rows of `out`."""
    finish = finish_of(dtype, rows)
    return finish if finish is not None and dense_lines(view, finish.dtype) else None


def are_short(dtype: np.dtype, view: View, rows: Rows) -> bool:
    """Whether windows of accumulators of a dtype are short ones along long rows of the source, with
    data in each.
    """
    view = _walked(dtype, view)
    depth, row, column = trimmed_axes(view)
    if rows.source is None or not (depth.all_hold_data and row.all_hold_data):
        return False
    if column == no_windows(column.length) and view.channels.window.length == 1:
        fill = column.length * dtype.itemsize >= VECTOR_BYTES
        dense = view.columns.strides[0] == rows.source.itemsize
        return fill and dense and _are_few_of_pixels(depth, row)
    if _are_runs(dtype, view, rows):
        return True
    if folded_taps(depth, row) > _FEW_TAPS:
        return False
    if view.channels.window.length > 1:
        return _are_pixels(dtype, view, rows, column)
    return (
        view.columns.strides[0] % rows.source.itemsize == 0
        and _step(view, rows) in STEPS.values()
        and _is_listed(column)
        and (
            _is_narrow(dtype, view, rows, column) or column.length >= _fewest_columns(column, dtype)
        )
    )


def _are_runs(dtype: np.dtype, view: View, rows: Rows) -> bool:
    """Whether windows are of some neighbours each, which all hold data, and go to `out` at once."""
    depth, row, column = trimmed_axes(view)
    lanes = VECTOR_BYTES // dtype.itemsize
    return (
        rows.source is not None
        and view.channels.window.length == folded_taps(depth, row) == column.dilation == 1
        and dense(view, 0, rows.source)
        and _SHORTEST_RUN <= column.kernel < _LONGEST_RUN * lanes
        and column.stride * 2 >= column.kernel
        and lanes in _RUN_LANES
        and column.outputs >= lanes
        and column.interior() == range(column.outputs)
        and not _is_listed(column)
        and finish_at_once(dtype, view, rows) is not None
    )


def _are_few_of_pixels(depth: Axis, row: Axis) -> bool:
    """Whether so few taps are combined for windows of one column that each is loaded anew."""
    taps = folded_taps(depth, row)
    few_reads = taps <= _MOST_READS * depth.stride * row.stride
    return taps <= _FEW_TAPS or (few_reads and max(depth.kernel, row.kernel) <= _FEW_TAPS)


def _walked(dtype: np.dtype, view: View) -> View:
    """The view with channels as columns, where they fill vectors."""
    fill = view.channels.window.length * dtype.itemsize >= VECTOR_BYTES
    return channels_as_columns(view) if fill and view.depth.window == no_windows(1) else view


def _are_pixels(dtype: np.dtype, view: View, rows: Rows, column: Axis) -> bool:
    """Whether windows are of pixels that lie side by side, some vectors of these in a row, and go
    to `out` at once.
    """
    channels = view.channels.window.length
    return (
        rows.source is not None
        and not rows.swapped
        and dense(view, 0, rows.source)
        and channels in CHANNELS
        and _shape(column) == PIXEL_WINDOW
        and column.length * channels * dtype.itemsize >= _PIXEL_VECTORS * VECTOR_BYTES
        and finish_at_once(dtype, view, rows) is not None
    )


def _is_listed(column: Axis) -> bool:
    """Whether there are loops for windows of a shape."""
    return any(_shape(column) in shapes for shapes in SHORT.values())


def _shape(column: Axis) -> tuple[int, int, int]:
    """Taps, stride and dilation of windows."""
    return column.kernel, column.stride, column.dilation


def _step(view: View, rows: Rows) -> int:
    """How many elements lie from a column of the source to the next."""
    assert rows.source is not None
    return view.columns.strides[0] // rows.source.itemsize


def _is_narrow(dtype: np.dtype, view: View, rows: Rows, column: Axis) -> bool:
    """Whether all windows along a row lie in few vectors, fill a good part of one, and go to `out`
    at once: 0.35 to 0.9 of the time of planes as channels. With less in a vector it is 1.1 to 1.5.
    """
    reach = (column.outputs - 1) * column.stride + column.reach
    lanes = VECTOR_BYTES // dtype.itemsize
    few = min(lanes // 2, _LEAST_LANES) < reach <= max(ROW_VECTORS) * lanes
    return few and finish_at_once(dtype, view, rows) is not None


def _fewest_columns(column: Axis, dtype: np.dtype) -> int:
    """How long rows of several vectors have to be: below, lines of many rows, or planes as
    channels, take 0.8 to 0.9 of the time, above, 1.1 to 3 times as long.
    """
    lanes = VECTOR_BYTES // dtype.itemsize
    if column.kernel == column.stride and dtype.itemsize < 4:
        return 3 * lanes
    return min(lanes + 1, 32)
