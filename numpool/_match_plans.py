"""Plans of the backward pass of max where windows overlap: see _cpu/match.py."""

from __future__ import annotations

import functools
import math

import numpy as np

from numpool._cpu import library
from numpool._cpu.match import UNROLLED
from numpool._cpu.scatter_plan import AXIS, OPERANDS, SCATTER
from numpool._cpu.vector_loops import VECTOR_BYTES
from numpool._cut import TASKS, parts
from numpool._plans import PARALLEL_BYTES, Plan, channels_as_columns, items_of
from numpool._scatter_plans import Operands, scatter_plan
from numpool._views import View, canonical, no_windows
from numpool._windows import Axis, Windows

# Rows are as many bytes long where windows start one after the other, or else pixels, and windows
# have so few taps: it takes 0.4 to 0.9 of the time of scattering then, and 0.9 to 3 times as long
# on shorter rows, whose ends are masked, or with more taps.
_SHORTEST_ROW = VECTOR_BYTES * 3
_SHORTEST_PIXEL = VECTOR_BYTES * 8
_MOST_TAPS = 27
# A task has as many rows at least, or as long a part of one.
_BAND_ROWS = 8
_TILE_BYTES = 32768


@functools.lru_cache(512)
def match_plan(windows: Windows, shape: tuple[int, ...], operands: Operands) -> Plan | None:
    """The plan for an input of `shape`; None where gradients have to be scattered."""
    axes = windows.windows
    overlap = any(w.kernel > w.stride for w in axes) and windows.taps <= _MOST_TAPS
    if not (overlap and all(w.all_hold_data for w in axes) and _are_plain(windows, operands)):
        return None
    view = canonical(windows, shape, operands.strides, 2, keep_axes=True, join=False)
    steps = _index_steps(view, windows, operands.indices)
    if view.channels.window.length > 1:
        if view.depth.window != no_windows(1):
            return None
        view, steps = channels_as_columns(view), [*steps[1:], (0, 0)]
    if not _are_matched(view, operands):
        return None
    plan = _plan(view, steps, operands)
    otherwise = functools.partial(scatter_plan, windows, shape, operands)
    return plan._replace(matches=math.prod(windows.shape), otherwise=otherwise)


def _are_plain(windows: Windows, operands: Operands) -> bool:
    """Whether gradients are added as they are, and no number that is no index becomes one where it
    is cut to the indices' dtype.
    """
    gradient, indices, out, _, signed = operands
    highest = windows.taps
    if indices.kind == "i":
        highest = math.prod(w.length for w in windows.windows)
    return not signed and gradient == out != np.float16 and highest - 1 <= np.iinfo(indices).max


def _are_matched(view: View, operands: Operands) -> bool:
    """Whether vectors of inputs belong to vectors of windows."""
    axes = depth, row, column = [d.window for d in (view.depth, view.rows, view.columns)]
    dense = [view.columns.strides[i] == d.itemsize for i, d in enumerate(operands[:3])]
    shortest = _SHORTEST_ROW if depth.stride == row.stride == 1 else _SHORTEST_PIXEL
    return (
        all(dense)
        and view.channels.window.length == column.stride == 1
        and column.length * operands.out.itemsize >= shortest
        and all(1 in (axis.stride, axis.dilation) for axis in axes)
    )


def _index_steps(view: View, windows: Windows, indices: np.dtype) -> list[tuple[int, int]]:
    """What an input's place, and the number of a window's tap, add to an index: along depth, rows
    and columns.
    """
    step = 1
    of_axis: dict[int | None, tuple[int, int]] = {None: (0, 0)}
    offsets = indices.kind == "u"
    for axis, window in zip(reversed(windows.axes), reversed(windows.windows), strict=True):
        of_axis[axis] = (0, step) if offsets else (step, 0)
        step *= window.kernel if offsets else window.length
    return [of_axis[d.axis] for d in (view.depth, view.rows, view.columns)]


def _axis_entries(
    axes: list[Axis], steps: list[tuple[int, int]], boxes: list[tuple[int, int]]
) -> np.ndarray:
    """The record of each axis, cut into so many boxes of so many places each."""
    entries = np.zeros(3, AXIS)
    for entry, axis, (place, tap), box in zip(entries, axes, steps, boxes, strict=True):
        for field in ("length", "outputs", "kernel", "stride", "dilation", "before"):
            entry[field] = getattr(axis, field)
        entry["position_step"], entry["tap_step"] = place, tap
        entry["boxes"], entry["box"] = box
        if axis.stride == 1:
            entry["regular_first"] = max(axis.reach - 1 - axis.before, 0)
            entry["regular_last"] = axis.outputs - axis.before
    return entries


def _boxes(pieces: int, axes: list[Axis], itemsize: int) -> list[tuple[int, int]]:
    """How each of so many pieces is cut along depth, rows and, where few rows are to be cut,
    columns: into so many boxes of so many places each.
    """
    depth, row, column = (axis.length for axis in axes)
    pieces *= depth
    bands = parts(row, max(min(-(-TASKS // pieces), row // _BAND_ROWS), 1))
    pieces *= bands[0]
    tiles = parts(column, max(min(-(-TASKS // pieces), column * itemsize // _TILE_BYTES), 1))
    return [(depth, 1), bands, tiles]


def _plan(view: View, steps: list[tuple[int, int]], operands: Operands) -> Plan:
    dimensions = {"depth": view.depth, "row": view.rows, "column": view.columns}
    axes = [d.window for d in dimensions.values()]
    items = items_of(view)
    boxes = _boxes(items, axes, operands.out.itemsize)
    entries = _axis_entries(axes, steps, boxes)
    batch = np.array([(d.window.length, *d.strides) for d in reversed(view.batch)], np.int64)
    record = np.zeros(1, SCATTER)
    for i, operand in enumerate(OPERANDS):
        for name, dimension in dimensions.items():
            record[operand][name] = dimension.strides[i]
    taps = axes[2].kernel
    unrolled = taps if taps in UNROLLED else 0
    kernel = ("match", operands.indices.name, operands.out.name, unrolled)
    values = {
        "axes": entries.ctypes.data, "batch": batch.ctypes.data, "batch_axes": len(batch),
        "add": library.address(*kernel),
    }  # fmt: skip
    for name, value in values.items():
        record[name] = value
    tasks = items * math.prod(count for count, _ in boxes)
    work = items * math.prod(axis.length for axis in axes) * operands.out.itemsize
    return Plan(
        library.address("walk_matches"),
        record,
        record.ctypes.data,
        (entries, batch),
        tasks,
        tasks > 1 and work >= PARALLEL_BYTES,
    )
