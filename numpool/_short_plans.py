"""Plans of short windows along rows: see _cpu/short_windows.py."""

from __future__ import annotations

import functools
import math

import numpy as np

from numpool._cpu import library
from numpool._cpu.short_loops import ROOTS, SHORT, STEPS
from numpool._cpu.vector_loops import VECTOR_BYTES
from numpool._cut import LINE_BYTES, TASKS, most_taps, parts
from numpool._plans import AXES, Builder, Divisor, Plan, Rows, dense, items_of, take_of
from numpool._views import View
from numpool._windows import Axis

# More taps of depth and rows are combined as a tree, for the sake of sums.
_FEW_TAPS = 9
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
    builder = Builder(view)
    axes = depth, row, column = _axes(view)
    for name, axis in zip(AXES, axes, strict=True):
        builder.axis(name, axis)
    builder.windows(view, divisor)

    # What becomes a result in registers goes to `out` at once.
    finish = finish_of(dtype, rows) if to_finish else None
    dense_rows = dense(view, 2, dtype) and view.rows.strides[2] % dtype.itemsize == 0
    out_lines = dense_rows and (finish is not None or rows.store == ("store", *[dtype.name] * 2))
    kernel = short_kernel(rows, finish if out_lines else None, _step(view, rows))

    itemsize, items = dtype.itemsize, items_of(view)
    tiles, tile_columns = parts(
        column.outputs, -(-column.outputs * column.stride * itemsize // LINE_BYTES)
    )
    pieces = items * depth.outputs * tiles
    bands, band_rows = parts(
        row.outputs, max(min(-(-tasks // pieces), row.outputs // _BAND_ROWS), 1)
    )
    batch_rows = min(band_rows, max(_BATCH_BYTES // (tile_columns * itemsize), 1))
    builder.set(
        items=items, channels=1, blocks=1, block_channels=1, itemsize=itemsize,
        bands=bands, band_rows=band_rows, tiles=tiles, tile_columns=tile_columns,
        batch_rows=batch_rows, result_pitch=tile_columns,
        result_size=0 if out_lines else batch_rows * tile_columns,
        out_lines=out_lines, divided=finish == "divided",
        short=library.address(*kernel), **numbers,
    )  # fmt: skip
    if not out_lines:
        assert rows.store is not None and rows.source is not None
        builder.set(store=library.address(*rows.store))
        if rows.swapped and rows.store[0] == "store_root":  # which looks at single taps again
            builder.set(take=take_of(view, rows.source.itemsize, rows.swapped))
    outputs, inputs = math.prod(a.outputs for a in axes), math.prod(a.length for a in axes)
    # To read four elements takes about as long as to make one.
    work = max(outputs * _taps(depth, row), inputs // 4) * items * itemsize
    plan = builder.plan(("walk_short_windows",), pieces * bands, work)
    if out_lines and finish in ROOTS:
        # It gives up on sums that are not within limits: these are looked at one by one, and all
        # others come out the same.
        arguments = (dtype, view, rows, divisor, numbers, tasks, False)
        plan = plan._replace(otherwise=functools.cache(lambda: short_plan(*arguments)))
    return plan


def short_kernel(rows: Rows, finish: str | None, step: int) -> tuple:
    """The name of the kernel, for columns so many elements apart."""
    return ("short", finish, step, rows.swapped, *rows.lines)


def finish_of(dtype: np.dtype, rows: Rows) -> str | None:
    """How windows become results in registers, if they do: see `Pooling` in short_loops.py."""
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
    depth, row, column = _axes(view)
    return (
        rows.source is not None
        and view.columns.strides[0] % rows.source.itemsize == 0
        and _step(view, rows) in STEPS
        and view.channels.window.length == column.dilation == 1
        and (column.kernel, column.stride) in SHORT
        and column.length >= _fewest_columns(column, dtype)
        and _taps(depth, row) <= _FEW_TAPS
        and depth.all_hold_data
        and row.all_hold_data
    )


def _axes(view: View) -> tuple[Axis, Axis, Axis]:
    depth, row, column = (d.window.trimmed() for d in (view.depth, view.rows, view.columns))
    return depth, row, column


def _step(view: View, rows: Rows) -> int:
    """How many elements lie from a column of the source to the next."""
    assert rows.source is not None
    return view.columns.strides[0] // rows.source.itemsize


def _taps(depth: Axis, row: Axis) -> int:
    return most_taps(depth) * most_taps(row)


def _fewest_columns(column: Axis, dtype: np.dtype) -> int:
    """How long rows have to be: below, lines of many rows, or planes as channels, take 0.4 to 0.9
    of the time, above, 1.1 to 3 times as long.
    """
    lanes = VECTOR_BYTES // dtype.itemsize
    if column.kernel == column.stride:
        return 3 * lanes
    return min(3 * lanes // 2, 32)
