"""Plans: what a kernel has to know of a call, worked out once for each kind of call.

A plan depends on dtypes, shapes, strides and arguments, never on the data or on the number of
threads: results are bitwise the same for every number of threads because nothing here, and so
nothing in a kernel, knows it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from numpool._cpu import library
from numpool._cpu.plan import DIRECTIONS, OPERANDS, PLAN, WINDOW
from numpool._views import View
from numpool._windows import Axis, Windows

# A line buffer fits the first-level cache, with room for those it is combined with.
_LINE_BYTES = 32768
# Bands of rows: few enough that neighbours share what they read, enough tasks to keep any number of
# threads busy.
_BAND_ROWS = 8
_TASKS = 64
# Loaded rows are kept for the next window as long as they are no more than this.
_KEPT_ROWS = 48
# Windows this long that hardly overlap are folded one by one: one pass instead of one for each
# factor of 3.
_FOLD_TAPS = 64
# The box of the input that a task of the backward pass of max owns.
_BOX_BYTES = 1 << 18
# Offsets of windows up to this many taps are looked up.
_PLACE_TABLE = 1 << 16
# Below this many bytes of work, starting threads costs more than it gains.
_PARALLEL_BYTES = 1 << 17


class Plan(NamedTuple):
    """A plan, ready to run: `record` is what the kernel reads, `tables` keeps its tables alive."""

    kernel: int
    record: np.ndarray
    address: int
    tables: tuple[np.ndarray, ...]
    tasks: int
    parallel: bool


class Divisor(NamedTuple):
    """What an average divides by: a number, or the taps counted with or without the padding."""

    count_include_pad: bool = True
    override: float | None = None


class Rows(NamedTuple):
    """The row functions of a plan by name and arguments, None where the arrays are used as they
    are.
    """

    load: tuple | None = None
    load_other: tuple | None = None
    finish: tuple | None = None
    store: tuple | None = None
    store_extra: tuple | None = None


def _dense(view: View, operand: int, itemsize: int) -> bool:
    """Whether a row of an operand is one contiguous piece."""
    channels = view.channels.window.length
    along = view.columns.strides[operand] == channels * itemsize
    return along and (channels == 1 or view.channels.strides[operand] == itemsize)


class _Builder:
    """A plan in the making: the record, and the tables whose addresses it holds."""

    def __init__(self) -> None:
        self.record = np.zeros(1, PLAN)
        self.tables: list[np.ndarray] = []

    def set(self, **values: float) -> None:
        for name, value in values.items():
            self.record[name] = value

    def table(self, values: np.ndarray) -> int:
        values = np.ascontiguousarray(values)
        self.tables.append(values)
        return values.ctypes.data

    def taps(self, axis: Axis, *positions: range) -> int:
        parts = [np.stack(axis.taps(p), axis=1) for p in positions]
        return self.table(np.concatenate(parts))

    def divisors(self, axis: Axis, count_include_pad: bool, *positions: range) -> int:
        parts = [axis.divisors(p, count_include_pad) for p in positions]
        return self.table(np.concatenate(parts))

    def operands(self, view: View) -> None:
        for i, operand in enumerate(OPERANDS):
            for direction, dimension in zip(
                DIRECTIONS, (view.depth, view.rows, view.columns, view.channels), strict=True
            ):
                self.set(**{f"{operand}_{direction}": dimension.strides[i]})
        batch = [(d.window.length, *d.strides) for d in reversed(view.batch)]
        self.set(batch=self.table(np.array(batch, np.int64).reshape(-1)), batch_axes=len(batch))

    def rows(self, rows: Rows) -> None:
        for name, kernel in rows._asdict().items():
            if kernel is not None:
                self.set(**{name: library.address(*kernel)})

    def finished(self, kernel: tuple, tasks: int, work: int) -> Plan:
        return Plan(
            library.address(*kernel),
            self.record,
            self.record.ctypes.data,
            tuple(self.tables),
            tasks,
            tasks > 1 and work >= _PARALLEL_BYTES,
        )


def _outside(total: int, regular: range) -> tuple[range, range]:
    return range(regular.start), range(regular.stop, total)


def _items(view: View) -> int:
    return math.prod(d.window.length for d in view.batch)


def geometry(
    view: View, forward: tuple[Axis, Axis, Axis], steps: dict[int, tuple[int, int]]
) -> np.ndarray:
    """The table of the forward windows; `steps` gives (position's step, offset's step) by axis of
    the array.
    """
    table = np.zeros(3, WINDOW)
    for entry, axis, dimension in zip(
        table, forward, (view.depth, view.rows, view.columns), strict=True
    ):
        for name in ("length", "kernel", "stride", "dilation", "before", "outputs"):
            entry[name] = getattr(axis, name)
        step = (1, 1) if dimension.axis is None else steps.get(dimension.axis, (1, 1))
        entry["position_step"], entry["offset_step"] = step
    return table


def position_steps(windows: Windows) -> dict[int, tuple[int, int]]:
    """What a step along each window axis adds to a position, and a tap to an offset: C order of the
    array's axes.
    """
    steps = {}
    position = offset = 1
    for axis, window in zip(reversed(windows.axes), reversed(windows.windows), strict=True):
        steps[axis] = (position, offset if offset < 2**63 else 0)
        position *= window.length
        offset *= window.kernel
    return steps


def _rows_of_window(axis: Axis) -> tuple[int, int]:
    """The most taps a window has along depth or rows, and how many rows they span."""
    period = axis.spacing // math.gcd(axis.dilation, axis.spacing)
    taps = -(-min(axis.kernel, -(-axis.length // axis.dilation)) // period)
    return taps, (taps - 1) * axis.tap_step + 1 if taps else 0


def walk_plan(
    kernel: tuple,
    dtype: np.dtype,
    view: View,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    *,
    backward: bool = False,
    steps: dict[int, tuple[int, int]] | None = None,
) -> Plan:
    """The plan of a walk with the given kernel, which computes in `dtype`.

    `backward` walks the adjoint windows: view's source is the incoming gradient and its out the
    gradient of the input.
    """
    builder = _Builder()
    builder.operands(view)
    forward = (view.depth.window, view.rows.window, view.columns.window)
    depth, row, column = (a.adjoint() for a in forward) if backward else forward
    channels = view.channels.window.length

    # How columns are worked: windows slide along a line, or are folded one by one.
    reach = column.reach
    limit = _LINE_BYTES // dtype.itemsize
    short = reach * channels <= limit
    if short:
        single = not backward and channels == 1 and column.kernel >= _FOLD_TAPS
        slide = column.stride <= 4 * reach + 8 and not (
            single and column.stride * 2 >= column.kernel
        )
    else:
        slide = column.stride * 4 < reach <= forward[2].length
    step = 1 if slide else column.tap_step
    regular = range(0) if backward else column.interior()
    if slide:
        block = channels if short else min(channels, max(16, limit // reach))
        tile = max((limit // block - reach) // column.stride + 1, 4 * reach // column.stride, 1)
        fold_taps = 0
    else:
        block = min(channels, 256)
        tile = max(limit // block, 1)
        fold_taps = max(limit // (step * block), 1)
    tile = min(tile, max(column.outputs, 1))
    tiles = -(-column.outputs // tile)
    tile = -(-column.outputs // max(tiles, 1))
    if slide:
        line = max((tile - 1) * column.stride + reach, tile) * block
    else:
        line = max(((fold_taps - 1) * step + 1) * block, tile * block, 64 * block)
    line = -(-(line + 8) // 16) * 16

    depth_taps, depth_span = _rows_of_window(depth)
    row_taps, row_span = _rows_of_window(row)
    leaves = -(-depth_taps * row_taps // 3)
    kept = depth_span * row_span
    keep = slide and depth_taps * row_taps > 1 and kept <= _KEPT_ROWS
    blocks = -(-channels // block)
    items = _items(view)
    pieces = items * depth.outputs * tiles * blocks
    bands = 1
    if 0 < pieces < _TASKS:
        bands = max(1, min(-(-_TASKS // pieces), row.outputs // _BAND_ROWS))
    band_rows = -(-row.outputs // bands)
    bands = -(-row.outputs // band_rows) if band_rows else 0

    divided = forward[2].interior()
    before, after = _outside(forward[2].outputs, divided)
    override = divisor.override is not None
    count_include_pad = divisor.count_include_pad
    depth_divisors = forward[0].divisors(range(forward[0].outputs), count_include_pad)
    if override:
        depth_divisors = np.full(forward[0].outputs, divisor.override)
    builder.set(
        depth_taps=builder.taps(depth, range(depth.outputs)),
        depth_step=depth.tap_step,
        depth_divisors=builder.table(depth_divisors),
        depth_outputs=depth.outputs,
        row_taps=builder.taps(row, range(row.outputs)),
        row_step=row.tap_step,
        row_divisors=builder.table(np.ones(forward[1].outputs))
        if override
        else builder.divisors(forward[1], count_include_pad, range(forward[1].outputs)),
        row_outputs=row.outputs,
        column_length=column.length,
        column_kernel=column.kernel,
        column_stride=column.stride,
        column_dilation=column.dilation,
        column_before=column.before,
        column_outputs=column.outputs,
        column_spacing=column.spacing if slide else 1,
        column_step=step,
        column_divisor=1.0 if override else forward[2].kernel,
        channels=channels,
        bands=bands,
        band_rows=band_rows,
        tiles=tiles,
        tile_columns=tile,
        blocks=blocks,
        block_channels=block,
        slide=slide,
        line_size=line,
        levels=leaves.bit_length() + 1,
        kept_depths=depth_span if keep else 0,
        kept_rows=row_span if keep else 0,
        fold_taps=fold_taps,
    )
    if override:
        builder.set(column_divided_first=0, column_divided_last=forward[2].outputs)
    else:
        builder.set(
            column_divisors=builder.divisors(forward[2], count_include_pad, before, after),
            column_divided_first=divided.start,
            column_divided_last=divided.stop,
        )
    if not slide:
        builder.set(
            column_taps=builder.taps(column, *_outside(column.outputs, regular)),
            column_regular_first=regular.start,
            column_regular_last=regular.stop,
        )
    for name, dimension in (("depth", view.depth), ("row", view.rows), ("column", view.columns)):
        if steps and dimension.axis in steps:
            builder.set(**{f"position_{name}": steps[dimension.axis][0]})
    builder.set(geometry=builder.table(geometry(view, forward, steps or {})), **numbers)
    if blocks == 1 and rows.load == ("load", dtype.name, dtype.name):
        rows = rows._replace(load=None if _dense(view, 0, dtype.itemsize) else rows.load)
    if blocks == 1 and rows.store == ("store", dtype.name, dtype.name):
        rows = rows._replace(store=None if _dense(view, 2, dtype.itemsize) else rows.store)
    builder.rows(rows)
    taps = max(depth_taps * row_taps, 1)
    outputs = items * depth.outputs * row.outputs * column.outputs * channels
    return builder.finished(kernel, pieces * bands, outputs * taps * dtype.itemsize)


def _place_table(view: View, steps: dict[int, tuple[int, int]], taps: int) -> np.ndarray:
    """What each offset adds to the place of its window's first tap."""
    offsets = np.arange(taps)
    table = np.zeros(taps, np.int64)
    along = 1
    for dimension in (view.columns, view.rows, view.depth):
        window = dimension.window
        if dimension.axis is not None:
            tap = offsets // steps[dimension.axis][1] % window.kernel
            table += tap * window.dilation * along
        along *= window.length
    return table


def _in_order(view: View, steps: dict[int, tuple[int, int]]) -> bool:
    """Whether positions are counted in the order in which the engine walks."""
    along = 1
    for dimension in (view.columns, view.rows, view.depth):
        if dimension.axis is not None and steps[dimension.axis][0] != along:
            return False
        along *= dimension.window.length
    return True


def scatter_plan(
    kernel: tuple,
    dtype: np.dtype,
    view: View,
    rows: Rows,
    windows: Windows,
    indices: np.dtype,
) -> Plan:
    """The plan of a scatter to `indices`, offsets if unsigned, or of their check.

    `dtype` is what gradients are summed in; see scatter.py.
    """
    builder = _Builder()
    builder.operands(view)
    depth, row, column = forward = (view.depth.window, view.rows.window, view.columns.window)
    channels = view.channels.window.length
    steps = position_steps(windows)
    # Boxes that are one range of places: whole rows before many rows, whole planes before many.
    limit = _BOX_BYTES // dtype.itemsize
    block = min(channels, 1024)
    tile = max(min(column.length, limit // block), 1)
    band_rows = slab = 1
    if tile == column.length:
        band_rows = max(min(row.length, limit // (block * tile)), 1)
        if band_rows == row.length:
            slab = max(min(depth.length, limit // (block * tile * band_rows)), 1)
    blocks, tiles = -(-channels // block), -(-column.length // tile)
    bands, slabs = -(-row.length // band_rows), -(-depth.length // slab)
    # The outputs whose windows may reach into a tile.
    reached = min((tile + column.reach) // column.stride + 2, column.outputs)
    nowhere = -1
    if indices.kind == "u":
        taps = math.prod(w.kernel for w in windows.windows)
        index_limit = min(taps, 2**63 - 1)
        if indices.itemsize < 8:  # as int64, uint64's largest value, its marker, is -1 too
            nowhere = int(np.iinfo(indices).max)
        direct = 0
        if taps <= _PLACE_TABLE:
            direct = builder.table(_place_table(view, steps, taps))
    else:
        index_limit = math.prod(w.length for w in windows.windows)
        direct = int(_in_order(view, steps))
    builder.set(
        channels=channels,
        column_spacing=1,
        bands=bands,
        band_rows=band_rows,
        tiles=tiles,
        tile_columns=tile,
        blocks=blocks,
        block_channels=block,
        slabs=slabs,
        slab_depths=slab,
        box_size=block * tile * band_rows * slab,
        line_size=reached * block,
        nowhere=nowhere,
        index_limit=index_limit,
        direct_places=direct,
        geometry=builder.table(geometry(view, forward, steps)),
    )
    builder.rows(rows)
    items = _items(view)
    tasks = items if kernel[0] == "check" else items * slabs * bands * tiles * blocks
    work = math.prod(d.outputs for d in forward) * channels * items * dtype.itemsize
    return builder.finished(kernel, tasks, work)
