"""Plans of short windows along rows: see _cpu/short_windows.py."""

from __future__ import annotations

import functools
import math

import numpy as np

from numpool._cpu import library
from numpool._cpu.plan import OPERANDS
from numpool._cpu.short_loops import ROW_VECTORS, SHORT
from numpool._cpu.short_rows import ROOTS, STEPS
from numpool._cpu.vector_loops import VECTOR_BYTES
from numpool._cut import LINE_BYTES, TASKS, parts
from numpool._plans import (
    AXES,
    Builder,
    Divisor,
    Plan,
    Rows,
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
# Planes that are pooled together stay in the cache meanwhile.
_BLOCK_BYTES = 1 << 16
# Of a vector, planes have to fill half, or more elements than these.
_LEAST_LANES = 15
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
    axes = depth, row, column = trimmed_axes(view)
    itemsize = dtype.itemsize
    work = work_of(axes, items_of(view) * itemsize)
    # What becomes a result in registers goes to `out` at once.
    finish = finish_of(dtype, rows) if to_finish and dense_lines(view, dtype) else None
    out_lines = finish is not None
    kernel = short_kernel(rows, finish or "kept", _step(view, rows))

    together = 1
    if out_lines and _is_narrow(dtype, view, rows, column):
        together = _BLOCK_BYTES // (math.prod(axis.length for axis in axes) * itemsize)
    whole, (view, planes) = view, _in_blocks(view, max(together, 1), tasks)
    builder = Builder(view)
    for name, axis in zip(AXES, axes, strict=True):
        builder.axis(name, axis)
    builder.windows(view, divisor)
    items = items_of(view)
    tiles, tile_columns = parts(
        column.outputs, -(-column.outputs * column.stride * itemsize // LINE_BYTES)
    )
    pieces = items * depth.outputs * tiles
    bands, band_rows = parts(
        row.outputs, max(min(-(-tasks // pieces), row.outputs // _BAND_ROWS), 1)
    )
    batch_rows = band_rows
    if not out_lines:
        batch_rows = min(band_rows, max(_BATCH_BYTES // (tile_columns * itemsize), 1))
    builder.set(
        items=items, channels=1, blocks=1, block_channels=1, itemsize=itemsize,
        bands=bands, band_rows=band_rows, tiles=tiles, tile_columns=tile_columns,
        batch_rows=batch_rows, result_pitch=tile_columns,
        result_size=0 if out_lines else batch_rows * tile_columns,
        out_lines=out_lines, divided=finish == "divided",
        short=library.address(*kernel), **planes, **numbers,
    )  # fmt: skip
    if not out_lines:
        assert rows.store is not None and rows.source is not None
        builder.set(store=library.address(*rows.store))
        if rows.swapped and rows.store[0] == "store_root":  # which looks at single taps again
            builder.set(take=take_of(view, rows.source.itemsize, rows.swapped))
    plan = builder.plan(("walk_short_windows",), pieces * bands, work)
    if finish in ROOTS:
        # It gives up on sums that are not within limits: these are looked at one by one, and all
        # others come out the same.
        arguments = (dtype, whole, rows, divisor, numbers, tasks, False)
        plan = plan._replace(otherwise=functools.cache(lambda: short_plan(*arguments)))
    return plan


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


def short_kernel(rows: Rows, finish: str, step: int) -> tuple:
    """The name of the kernel, for columns so many elements apart."""
    columns = next(name for name, apart in STEPS.items() if apart == step)
    return ("short", finish, columns, "swapped" if rows.swapped else "native", *rows.lines)


def finish_of(dtype: np.dtype, rows: Rows) -> str | None:
    """How windows become results in registers, if they do: see `Pooling` in short_rows.py."""
    if rows.store == ("store", *[dtype.name] * 2):
        return "kept"
    if rows.store == ("store_average", *[dtype.name] * 3):
        return "divided"
    if rows.store is not None and rows.store[0] == "store_root":
        _, _, *dtypes, root = rows.store
        return root if root in ROOTS and dtypes == [dtype.name] * 2 else None
    return None


def are_short(dtype: np.dtype, view: View, rows: Rows) -> bool:
    """Whether windows of accumulators of a dtype are short ones along long rows of the source, with
    data in each.
    """
    depth, row, column = trimmed_axes(view)
    return (
        rows.source is not None
        and view.columns.strides[0] % rows.source.itemsize == 0
        and _step(view, rows) in STEPS.values()
        and view.channels.window.length == column.dilation == 1
        and (column.kernel, column.stride) in SHORT
        and (
            _is_narrow(dtype, view, rows, column) or column.length >= _fewest_columns(column, dtype)
        )
        and folded_taps(depth, row) <= _FEW_TAPS
        and depth.all_hold_data
        and row.all_hold_data
    )


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
    at_once = finish_of(dtype, rows) is not None and dense_lines(view, dtype)
    return min(lanes // 2, _LEAST_LANES) < reach <= max(ROW_VECTORS) * lanes and at_once


def _fewest_columns(column: Axis, dtype: np.dtype) -> int:
    """How long rows of several vectors have to be: below, lines of many rows, or planes as
    channels, take 0.8 to 0.9 of the time, above, 1.1 to 3 times as long.
    """
    lanes = VECTOR_BYTES // dtype.itemsize
    if column.kernel == column.stride and dtype.itemsize < 4:
        return 3 * lanes
    return min(lanes + 1, 32)
