"""Plans of the backward pass of max where inputs are matched with windows: see _cpu/match.py."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from numpool._cpu import library
from numpool._cpu.match_codes import lanes_of
from numpool._cpu.match_plan import AXIS, MATCH, OPERANDS
from numpool._cpu.match_rows import MOST_TAPS, UNROLLED, columns_of_place, has_kernel
from numpool._cut import TASKS, parts
from numpool._plans import PARALLEL_BYTES, Plan, channels_as_columns, items_of, position_steps
from numpool._scatter_plans import Operands, scatter_plan
from numpool._views import Dimension, View, canonical, no_windows
from numpool._windows import Axis, Windows

# Rows have so many vectors of windows at least, as indices are positions or offsets: it takes 0.3
# to 0.9 of the time of scattering them then, and 1.1 to 3 times as long with less.
_FEWEST_VECTORS = {"i": 1.75, "u": 2.5}
# About so many bytes are laid out of the windows of a task, and of rows so many places at least;
# more only where windows reach far, and so much at most.
_LAID_BYTES = 96 << 10
_FEWEST_COLUMNS = 128
_MOST_LAID_BYTES = 1 << 20
# What a task has of the input, where it is not much.
_TASK_BYTES = 1 << 15
# Codes of 32 bits name less than so many inputs.
_MOST_NAMES = 2**31


@functools.lru_cache(512)
def match_plan(windows: Windows, shape: tuple[int, ...], operands: Operands) -> Plan | None:
    """The plan for an input of `shape`; None where gradients have to be scattered."""
    axes = windows.windows
    if not (
        1 < windows.taps <= MOST_TAPS
        and all(w.all_hold_data for w in axes)
        and _are_plain(windows, operands)
    ):
        return None
    view = canonical(windows, shape, operands.strides, 2, keep_axes=True, join=False)
    if view.batch and view.rows.window == no_windows(1):
        view = view._replace(batch=view.batch[:-1], rows=view.batch[-1])
    steps = _index_steps(view, windows, operands.indices)
    if view.channels.window.length > 1:
        if view.depth.window != no_windows(1):
            return None
        view, steps = channels_as_columns(view), [*steps[1:], (0, 0)]
    if not _are_matched(view, operands):
        return None
    plan = _plan(view, steps, operands)
    if plan is None:
        return None
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
    axes = [d.window for d in (view.depth, view.rows, view.columns)]
    column = axes[2]
    dense = [view.columns.strides[i] == d.itemsize for i, d in enumerate(operands[:3])]
    fewest = _FEWEST_VECTORS[operands.indices.kind] * lanes_of(operands.out.name)
    return (
        all(dense)
        and view.channels.window.length == 1
        and _places(column) >= fewest
        and all(1 in (axis.stride, axis.dilation) for axis in axes)
        and has_kernel(column.kernel, column.stride)
    )


def _index_steps(view: View, windows: Windows, indices: np.dtype) -> list[tuple[int, int]]:
    """What an input's place, and the number of a window's tap, add to an index: along depth, rows
    and columns.
    """
    steps = position_steps(windows)
    found = []
    for dimension in (view.depth, view.rows, view.columns):
        position, tap = (0, 0) if dimension.axis is None else steps[dimension.axis]
        found.append((0, tap) if indices.kind == "u" else (position, 0))
    return found


def _places(axis: Axis) -> int:
    return -(-axis.length // axis.stride)


def _span(axis: Axis) -> int:
    """How many windows neighbouring places need beside one for each."""
    if axis.stride == 1:
        return axis.reach - 1
    first, last = columns_of_place(axis.kernel, axis.stride, axis.before % axis.stride)
    return last - first


def _laid(axes: list[Axis], places: Sequence[int], lanes: int) -> tuple[int, int, int]:
    """How many windows are laid out along each axis for so many places."""
    depth, row, column = (n + _span(axis) for n, axis in zip(places, axes, strict=True))
    # Vectors go beyond the last place.
    return depth, row, -(-column // lanes) * lanes + lanes


def _box(axes: list[Axis], most: int, lanes: int) -> tuple[int, int, int]:
    """How many places a task has of depth, rows and columns: about so many windows are laid out,
    and few of them twice.
    """
    depth, row, column = axes
    overlaps = (1 + _span(depth)) * (1 + _span(row))
    columns = max(most // (4 * overlaps), _FEWEST_COLUMNS, _span(column))
    columns = min(columns, _places(column))
    lines = most // _laid(axes, (1, 1, columns), lanes)[2]
    depths, rows = 1, _places(row)
    if _span(depth) and lines < (rows + _span(row)) * (_places(depth) + _span(depth)):
        depths = max(math.isqrt(lines) - _span(depth), _span(depth))
        depths = min(depths, _places(depth))
    rows = min(rows, max(lines // (depths + _span(depth)) - _span(row), _span(row), 1))
    if rows == _places(row):
        depths = min(_places(depth), max(lines // (rows + _span(row)) - _span(depth), depths))
    return depths, rows, columns


def _columns(axis: Axis) -> tuple[int, ...]:
    """Which columns a kernel is made for."""
    if axis.stride == 1:
        return (axis.kernel if axis.kernel in UNROLLED else 0,)
    return axis.kernel, axis.stride, axis.before % axis.stride


def _plan(view: View, steps: list[tuple[int, int]], operands: Operands) -> Plan | None:
    """The plan; None where a box is too large, or too much is laid out."""
    dimensions = {"depth": view.depth, "row": view.rows, "column": view.columns}
    axes = [d.window for d in dimensions.values()]
    items = view.batch[-1] if view.batch else Dimension(no_windows(1), (0,) * len(OPERANDS))
    batch = [(d.window.length, *d.strides) for d in reversed(view.batch[:-1])]
    itemsize, lanes = operands.out.itemsize, lanes_of(operands.out.name)
    work = items_of(view) * math.prod(axis.length for axis in axes) * itemsize
    most = _LAID_BYTES // (2 * itemsize)
    box = _box(axes, most, lanes)
    laid = _laid(axes, box, lanes)
    size = math.prod(laid)
    tasks = max(min(TASKS, work // _TASK_BYTES), 1)
    group = max(min(most // size, items.window.length // tasks), 1)
    groups, group = parts(items.window.length, -(-items.window.length // group))
    entries = np.zeros(3, AXIS)
    names = 1
    for i, (axis, (place, tap)) in enumerate(zip(axes, steps, strict=True)):
        entry = entries[i]
        for field in ("length", "outputs", "kernel", "stride", "dilation", "before", "reach"):
            entry[field] = getattr(axis, field)
        entry["position_step"], entry["tap_step"] = place, tap
        boxes, each = parts(_places(axis), -(-_places(axis) // box[i]))
        entry["boxes"], entry["box"] = boxes, each * axis.stride
        entry["span"], entry["step"] = _span(axis), math.prod(laid[i + 1 :])
        names += (each * axis.stride - 1) * place
    if names >= _MOST_NAMES or 2 * size * itemsize > _MOST_LAID_BYTES:
        return None
    record = np.zeros(1, MATCH)
    for i, operand in enumerate(OPERANDS):
        record[operand]["item"] = items.strides[i]
        for name, dimension in dimensions.items():
            record[operand][name] = dimension.strides[i]
    tables = entries, np.array(batch, np.int64)
    offsets = operands.indices.kind == "u"
    kind = "offsets" if offsets else "positions"
    values = {
        "axes": tables[0].ctypes.data, "batch": tables[1].ctypes.data, "batch_axes": len(batch),
        "items": items.window.length, "group": group, "groups": groups,
        "item_step": size, "size": group * size + lanes,
        "itemsize": itemsize,
        "offsets": math.prod(axis.kernel for axis in axes) if offsets else 0,
        "lay": library.address("lay_windows", operands.indices.name, operands.out.name),
        "add": library.address("match", kind, operands.out.name, *_columns(axes[2])),
    }  # fmt: skip
    for name, value in values.items():
        record[name] = value
    tasks = math.prod(entry[0] for entry in batch) * groups * int(entries["boxes"].prod())
    return Plan(
        library.address("walk_matches"),
        record,
        record.ctypes.data,
        tables,
        tasks,
        tasks > 1 and work >= PARALLEL_BYTES,
    )
