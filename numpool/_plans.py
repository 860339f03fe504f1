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
from numpool._cpu.plan import OPERANDS, PLAN
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
# Windows of fewer taps slide, however little they overlap.
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


def _dense(view: View, operand: int, dtype: np.dtype) -> bool:
    """Whether a row of an operand is one contiguous piece."""
    channels = view.channels.window.length
    along = view.columns.strides[operand] == channels * dtype.itemsize
    return along and (channels == 1 or view.channels.strides[operand] == dtype.itemsize)


class _Builder:
    """A plan in the making: the record, and the tables whose addresses it holds."""

    def __init__(self, view: View) -> None:
        self.record = np.zeros(1, PLAN)
        self.tables: list[np.ndarray] = []
        for i, operand in enumerate(OPERANDS):
            self.record[operand] = (
                view.depth.strides[i],
                view.rows.strides[i],
                view.columns.strides[i],
                view.channels.strides[i],
            )
        batch = [(d.window.length, *d.strides) for d in reversed(view.batch)]
        self.set(batch=self.table(np.array(batch, np.int64).reshape(-1)), batch_axes=len(batch))

    def set(self, **values: float) -> None:
        for name, value in values.items():
            self.record[name] = value

    def table(self, values: np.ndarray) -> int:
        values = np.ascontiguousarray(values)
        self.tables.append(values)
        return values.ctypes.data

    def axis(self, name: str, walked: Axis) -> None:
        """The windows of an axis as they are walked."""
        entry = self.record[name]
        for field in ("outputs", "length", "kernel", "stride", "dilation", "before", "spacing"):
            entry[field] = getattr(walked, field)
        common = math.gcd(walked.dilation, walked.spacing)
        period = walked.spacing // common
        entry["common"], entry["period"], entry["step"] = common, period, walked.tap_step
        entry["inverse"] = pow(walked.tap_step, -1, period)
        regular = walked.interior() if walked.spacing == 1 else range(0)
        entry["regular_first"], entry["regular_last"] = regular.start, regular.stop

    def windows(
        self,
        view: View,
        steps: dict[int, tuple[int, int]],
        divisor: Divisor = Divisor(),  # noqa: B008
    ) -> None:
        """The forward windows; `steps` gives (position's step, offset's step) of window axes."""
        for name, dimension in (
            ("depth_window", view.depth),
            ("row_window", view.rows),
            ("column_window", view.columns),
        ):
            entry = self.record[name]
            window = dimension.window
            for field in ("length", "kernel", "stride", "dilation", "before", "after", "outputs"):
                entry[field] = getattr(window, field)
            step = (1, 1) if dimension.axis is None else steps.get(dimension.axis, (1, 1))
            entry["position_step"], entry["offset_step"] = step
            entry["count_include_pad"] = divisor.count_include_pad
            divided, share = window.interior(), float(window.kernel)
            if divisor.override is not None:
                divided, share = range(window.outputs), 1.0
            entry["divided_first"], entry["divided_last"] = divided.start, divided.stop
            entry["divisor"] = share
        if divisor.override is not None:
            self.record["column_window"]["divisor"] = divisor.override

    def finished(self, kernel: tuple, rows: Rows, tasks: int, work: int) -> Plan:
        for name, row_function in rows._asdict().items():
            if row_function is not None:
                self.set(**{name: library.address(*row_function)})
        return Plan(
            library.address(*kernel),
            self.record,
            self.record.ctypes.data,
            tuple(self.tables),
            tasks,
            tasks > 1 and work >= _PARALLEL_BYTES,
        )


def _items(view: View) -> int:
    return math.prod(d.window.length for d in view.batch)


def _wrapped(value: int) -> int:
    """The int64 with the lowest 64 bits of a number: kernels work on offsets modulo 2**64."""
    return (value + 2**63) % 2**64 - 2**63


def position_steps(windows: Windows) -> dict[int, tuple[int, int]]:
    """What a step along each window axis adds to a position, and a tap to an offset: C order of the
    array's axes.
    """
    steps = {}
    position = offset = 1
    for axis, window in zip(reversed(windows.axes), reversed(windows.windows), strict=True):
        steps[axis] = (position, _wrapped(offset))
        position *= window.length
        offset *= window.kernel
    return steps


def _most_taps(axis: Axis) -> int:
    """The most taps with data that a window has along an axis."""
    period = axis.spacing // math.gcd(axis.dilation, axis.spacing)
    return -(-min(axis.kernel, -(-axis.length // axis.dilation)) // period)


def _span(axis: Axis) -> int:
    """How many rows the taps of a window span."""
    return max(_most_taps(axis) - 1, 0) * axis.tap_step + 1


class _Columns(NamedTuple):
    """How columns are worked: windows slide along a line, or are folded one by one."""

    slide: bool
    tiles: int
    tile_columns: int
    blocks: int
    block_channels: int
    fold_taps: int
    line_size: int


def _cut_columns(column: Axis, channels: int, limit: int) -> _Columns:
    """The cut of output columns and channels into pieces whose line has about `limit` elements."""
    reach, stride, outputs = column.reach, column.stride, column.outputs
    short = reach * channels <= limit
    if short:
        # Long windows that hardly overlap are folded one by one: one pass, where sliding takes one
        # for each factor of 3.
        alone = channels == 1 and column.kernel >= _FOLD_TAPS and stride * 2 >= column.kernel
        slide = stride <= 4 * reach + 8 and not alone
    else:
        passes = 2 * math.ceil(math.log(column.kernel + 1, 3))
        sliding = passes * ((outputs - 1) * stride + reach)
        slide = stride * 4 < reach and sliding < outputs * _most_taps(column)
    if slide:
        block = channels if short else min(channels, max(16, limit // reach))
        tile = max((limit // block - reach) // stride + 1, 4 * reach // stride, 1)
        fold_taps = 0
    else:
        block = min(channels, 256)
        tile = max(limit // block, 1)
        fold_taps = max(limit // (column.tap_step * block), 1)
    tiles = -(-outputs // tile)
    tile = -(-outputs // tiles)
    if slide:
        line = max((tile - 1) * stride + reach, tile) * block
    else:
        # The line of taps, the results, and a stack of as many channels as a tree can be deep.
        line = max((fold_taps - 1) * column.tap_step + 1, tile, 64) * block
    line = -(-line // 16) * 16
    return _Columns(slide, tiles, tile, -(-channels // block), block, fold_taps, line)


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
    builder = _Builder(view)
    forward = (view.depth.window, view.rows.window, view.columns.window)
    depth, row, column = ((a.adjoint() if backward else a).trimmed() for a in forward)
    channels = view.channels.window.length
    cut = _cut_columns(column, channels, _LINE_BYTES // dtype.itemsize)

    taps = max(_most_taps(depth) * _most_taps(row), 1)
    leaves = -(-taps // 3)
    keep = cut.slide and taps > 1 and _span(depth) * _span(row) <= _KEPT_ROWS
    items = _items(view)
    pieces = items * depth.outputs * cut.tiles * cut.blocks
    bands = 1
    if pieces < _TASKS:
        bands = max(1, min(-(-_TASKS // pieces), row.outputs // _BAND_ROWS))
    band_rows = -(-row.outputs // bands)
    bands = -(-row.outputs // band_rows)

    for name, axis in (("depth", depth), ("row", row), ("column", column)):
        builder.axis(name, axis)
    builder.windows(view, steps or {}, divisor)
    builder.set(
        channels=channels,
        bands=bands,
        band_rows=band_rows,
        levels=leaves.bit_length() + 1,
        kept_depths=_span(depth) if keep else 0,
        kept_rows=_span(row) if keep else 0,
        line_spacing=column.spacing if cut.slide else 1,
        **cut._asdict(),
        **numbers,
    )
    if cut.blocks == 1 and rows.load == ("load", dtype.name, dtype.name) and _dense(view, 0, dtype):
        rows = rows._replace(load=None)
    if (
        cut.blocks == 1
        and rows.store == ("store", dtype.name, dtype.name)
        and _dense(view, 2, dtype)
    ):
        rows = rows._replace(store=None)
    outputs = items * depth.outputs * row.outputs * column.outputs * channels
    work = outputs * taps * dtype.itemsize
    return builder.finished(kernel, rows, pieces * bands, work)


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
    builder = _Builder(view)
    depth, row, column = view.depth.window, view.rows.window, view.columns.window
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
        index_limit = _wrapped(min(taps, 2**64 - 1))
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
    )
    builder.windows(view, steps)
    items = _items(view)
    tasks = items if kernel[0] == "check" else items * slabs * bands * tiles * blocks
    work = depth.outputs * row.outputs * column.outputs * channels * items * dtype.itemsize
    return builder.finished(kernel, rows, tasks, work)
