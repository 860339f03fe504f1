"""Plans: what a kernel has to know of a call, worked out once for each kind of call.

A plan depends on dtypes, shapes, strides and arguments, never on the data or on the number of
threads: results are bitwise the same for every number of threads because nothing here, and so
nothing in a kernel, knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from numpool._cpu import library
from numpool._cpu.plan import OPERANDS, PLAN
from numpool._cpu.strided import FARTHEST
from numpool._cpu.vector_loops import VECTOR_BYTES
from numpool._cpu.windowing import LIFTED_TAPS
from numpool._cut import LINE_BYTES, TASKS, cut_walk, most_taps
from numpool._views import Dimension, View, no_windows
from numpool._windows import Axis, Windows

# Below this many bytes of work, starting threads costs more than it gains.
PARALLEL_BYTES = 1 << 17

# Channels of which lines are made in the place of columns.
_LONG_LINE = 512

# Row functions that can take columns which stand apart.
_TAKING = ("load", "load_power", "load_packed")

AXES = ("depth", "row", "column")


def _no_plan() -> None:
    return None


class Plan(NamedTuple):
    """A plan, ready to run: `record` is what the kernel reads, `tables` keeps its tables alive.
    `otherwise` makes the plan for data that this one gives up on: where it does not finish, or
    finds not as many `matches`, which it then counts for each task.
    """

    kernel: int
    record: np.ndarray
    address: int
    tables: tuple[np.ndarray, ...]
    tasks: int
    parallel: bool
    before: FirstPass | None = None
    otherwise: Callable[[], Plan | None] = _no_plan
    matches: int = 0


class FirstPass(NamedTuple):
    """What is done before a plan, for each of some volumes: a plan from the source to an
    intermediate, of so many elements of a dtype, which then is the source.
    """

    plan: Plan
    volumes: int
    size: int
    dtype: np.dtype


class Divisor(NamedTuple):
    """What an average divides by: a number, or the taps counted with or without the padding."""

    count_include_pad: bool = True
    override: float | None = None

    def of_all(self, windows: Windows) -> float | None:
        """The one number that all windows are divided by, None if they are by several."""
        if self.override is not None:
            return self.override
        counted = [w.padded() if self.count_include_pad else w for w in windows.windows]
        whole = all(w.interior() == range(w.outputs) for w in counted)
        return float(windows.taps) if whole else None


class Rows(NamedTuple):
    """The row functions and the line kernel of a plan, by name and arguments.

    `load` is None where source rows go to the line kernel as they are, `store` where results are
    lines as they are. `source` is the dtype of rows that the line kernel takes, if any. `pairs`:
    accumulators are pairs of a value and a code. `taps`: the dtypes of values and indices that can
    be compared tap by tap, and whether magnitudes are: see _tap_plans.py. `swapped`: source rows
    are in the other byte order.
    """

    load: tuple | None
    store: tuple | None
    lines: tuple
    source: np.dtype | None = None
    pairs: bool = False
    taps: tuple | None = None
    swapped: bool = False

    def look_back(self, numbers: dict[str, float]) -> bool:
        """Whether results take a second look at single taps, which have to be in the source."""
        if self.pairs or self.store is None:
            return True
        within = numbers.get("low", 0.0) <= 0.0 and numbers.get("high", math.inf) == math.inf
        return self.store[0] == "store_root" and not within

    def to_accumulators(self, dtype: np.dtype) -> Rows:
        """The rows of a first pass, whose results are accumulators."""
        return self._replace(store=("store", dtype.name, dtype.name))

    def of_accumulators(self, dtype: np.dtype) -> Rows:
        """The rows of a second pass, whose source is accumulators."""
        source = dtype if self.lines[0] in ("max", "sum") else None
        load = ("load", dtype.name, dtype.name)
        return self._replace(load=load, source=source, swapped=False)


def dense(view: View, operand: int, dtype: np.dtype) -> bool:
    """Whether a row of an operand is one contiguous piece."""
    channels = view.channels.window.length
    along = view.columns.strides[operand] == channels * dtype.itemsize
    return along and (channels == 1 or view.channels.strides[operand] == dtype.itemsize)


def dense_lines(view: View, dtype: np.dtype) -> bool:
    """Whether the rows of `out` are lines of a dtype as they are."""
    return dense(view, 2, dtype) and view.rows.strides[2] % dtype.itemsize == 0


def trimmed_axes(view: View) -> tuple[Axis, Axis, Axis]:
    """The windows along depth, rows and columns, without taps that never hold data."""
    depth, row, column = (d.window.trimmed() for d in (view.depth, view.rows, view.columns))
    return depth, row, column


def folded_taps(depth: Axis, row: Axis) -> int:
    """The most rows that are combined for a row of windows."""
    return most_taps(depth) * most_taps(row)


def work_of(axes: Sequence[Axis], size: int) -> int:
    """About how many bytes are worked on, where a column is of so many in all. To read four
    elements takes about as long as to make one.
    """
    depth, row, _ = axes
    outputs, inputs = math.prod(a.outputs for a in axes), math.prod(a.length for a in axes)
    return max(outputs * max(folded_taps(depth, row), 1), inputs // 4) * size


class Builder:
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
        for field in ("outputs", "length", "kernel", "stride", "dilation", "before"):
            entry[field] = getattr(walked, field)
        entry["places"], entry["first_place"] = walked.places, walked.first_place
        regular = walked.regular_places()
        entry["regular_first"], entry["regular_last"] = regular.start, regular.stop
        phases = walked.phases
        for field in ("period", "wide", "origin", "taps", "every", "mixed"):
            entry[field] = getattr(phases, field)
        entry["phases"], entry["tap_step"] = phases.per_period, phases.dilation
        entry["inverse"] = pow(walked.dilation, -1, phases.every) if phases.mixed else 0
        entry["fewer"] = phases.taps // phases.every if phases.taps % phases.every else 0

    def codes(self, codes: Codes) -> None:
        for i, name in enumerate(AXES):
            self.record[name]["code"] = codes.taps[i]
            self.record[f"{name}_window"]["index_step"] = codes.outputs[i]
        self.set(index_base=codes.base)

    def windows(self, view: View, divisor: Divisor) -> None:
        """The forward windows, for what looks at single taps."""
        for name, dimension in (
            ("depth_window", view.depth),
            ("row_window", view.rows),
            ("column_window", view.columns),
        ):
            entry = self.record[name]
            window = dimension.window
            for field in ("length", "kernel", "stride", "dilation", "before", "after", "outputs"):
                entry[field] = getattr(window, field)
            entry["count_include_pad"] = divisor.count_include_pad
            counted = window.padded() if divisor.count_include_pad else window
            divided, share = counted.interior(), float(window.kernel)
            if divisor.override is not None:
                divided, share = range(window.outputs), 1.0
            entry["divided_first"], entry["divided_last"] = divided.start, divided.stop
            entry["divisor"] = share
        if divisor.override is not None:
            self.record["column_window"]["divisor"] = divisor.override

    def finished(self, kernel: tuple, rows: Rows, tasks: int, work: int) -> Plan:
        for name in ("load", "store", "lines"):
            function = getattr(rows, name)
            if function is not None:
                self.set(**{name: library.address(*function)})
        if self.record["spread_pitch"]:
            self.set(spread=library.address("spread", rows.lines[1]))
        return self.plan(kernel, tasks, work)

    def plan(self, kernel: tuple, tasks: int, work: int) -> Plan:
        return Plan(
            library.address(*kernel),
            self.record,
            self.record.ctypes.data,
            tuple(self.tables),
            tasks,
            tasks > 1 and work >= PARALLEL_BYTES,
        )


def take_of(view: View, itemsize: int, swapped: bool) -> int:
    """The address of what takes elements of the source that are `swapped`, or whose columns stand
    apart, or backwards, so that vectors of them are shuffled; 0 for others.
    """
    if swapped:
        return library.address("take_swapped", itemsize)
    apart, rest = divmod(view.columns.strides[0], itemsize)
    few = view.columns.window.length * itemsize <= VECTOR_BYTES
    single = view.channels.window.length == 1
    if single and not few and rest == 0 and apart not in (0, 1) and abs(apart) <= FARTHEST:
        return library.address("take", itemsize)
    return 0


def items_of(view: View) -> int:
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


def offsets_of(positions: np.ndarray, windows: Windows) -> np.ndarray:
    """The taps at some positions as offsets in their windows, in 64 bits; -1 is no tap."""
    offsets = np.zeros_like(positions, np.uint64)
    steps, rest = position_steps(windows), positions
    for axis, window in zip(reversed(windows.axes), reversed(windows.windows), strict=True):
        rest, place = np.divmod(rest, max(window.length, 1))
        along = [1] * positions.ndim
        along[axis] = window.outputs
        starts = (np.arange(window.outputs) * window.stride - window.before).reshape(along)
        taps = ((place - starts) // window.dilation).astype(np.uint64)
        offsets += taps * np.uint64(steps[axis][1] % 2**64)
    offsets[positions < 0] = np.iinfo(np.uint64).max
    return offsets


class Codes(NamedTuple):
    """How the indices of an arg-max are counted: what a tap, and an output's place, add along
    (depth, row, column); the index of the first tap of the first window.
    """

    taps: tuple[int, ...]
    outputs: tuple[int, ...]
    base: int


def index_codes(view: View, windows: Windows, offsets: bool) -> Codes:
    """Positions in the input, or offsets in the window, as the walk over a view counts them."""
    steps = position_steps(windows)
    taps, outputs, base = [], [], 0
    for dimension in (view.depth, view.rows, view.columns):
        window = dimension.window
        trimmed = window.trimmed()
        position, offset = (0, 0) if dimension.axis is None else steps[dimension.axis]
        if offsets:
            skipped = (window.before - trimmed.before) // window.dilation
            taps.append(_wrapped(offset))
            outputs.append(0)
            base += skipped * offset
        else:
            taps.append(_wrapped(position * window.dilation))
            outputs.append(_wrapped(position * window.stride))
            base -= position * trimmed.before
    return Codes(tuple(taps), tuple(outputs), _wrapped(base))


def _with_long_lines(view: View, dtype: np.dtype) -> View:
    """The view with channels as columns, where they are so many that a window of them is longer
    than a line: taps are then folded from rows as they are. It is worth 3 to 8 times on windows of
    2 to 11 taps along the first axis of 100 x 10,000 to 28 x 100,000 elements.
    """
    channels, one = view.channels.window.length, no_windows(1)
    size = view.columns.window.trimmed().reach * channels * dtype.itemsize
    if view.depth.window != one or channels < _LONG_LINE or size <= LINE_BYTES:
        return view
    return channels_as_columns(view)


def channels_as_columns(view: View) -> View:
    """The view, which has no windows along depth, with rows there, columns as rows, and channels as
    columns.
    """
    nothing = Dimension(no_windows(1), (0,) * len(OPERANDS))
    return View(view.batch, view.rows, view.columns, view.channels, nothing)


def _are_lifted_runs(column: Axis, channels: int, rows: Rows) -> bool:
    """Whether windows are of so many neighbours that these become accumulators one by one."""
    lifting = rows.lines[0] in ("sum_of", "max_of")
    dense = channels == column.dilation == 1
    return lifting and dense and column.stride * 2 >= column.kernel >= LIFTED_TAPS


def _are_inputs(axis: Axis) -> bool:
    """Whether each window is one input, and the first of them the first input."""
    return axis.kernel == 1 and axis.before == 0 and axis.interior() == range(axis.outputs)


def walk_plan(
    dtype: np.dtype,
    view: View,
    rows: Rows,
    divisor: Divisor,
    numbers: dict[str, float],
    *,
    backward: bool = False,
    codes: Codes | None = None,
    tasks: int = TASKS,
    volumes: bool = False,
    depth_done: bool = False,
) -> Plan:
    """The plan of a walk that computes in `dtype`.

    `backward` walks the adjoint windows: view's source is the incoming gradient and its out the
    gradient of the input. `codes` are for an arg-max. The walk is cut into about as many
    `tasks`, if it is large enough; with `volumes`, each of its items is.
    `depth_done`: the source holds the windows along depth, each at its output's place.
    """
    if codes is None and not depth_done:
        view = _with_long_lines(view, dtype)
    builder = Builder(view)
    forward = (view.depth.window, view.rows.window, view.columns.window)
    axes = [a.adjoint() if backward else a.trimmed() for a in forward]
    depth, row, column = axes
    if depth_done:
        depth = no_windows(depth.outputs)
    channels = view.channels.window.length
    loaded = rows.source is None or rows.swapped or not dense(view, 0, rows.source)
    converted = loaded or rows.load != ("load", dtype.name, dtype.name)
    items = items_of(view)
    cut = cut_walk(
        1 if volumes else items,
        depth,
        row,
        column,
        channels,
        dtype.itemsize,
        converted,
        loaded,
        tasks,
    )
    loaded = loaded or cut.blocks > 1  # a row of a block of channels is in pieces
    same = rows.store == ("store", dtype.name, dtype.name) and cut.blocks == 1
    out_rows = same and dense_lines(view, dtype)
    repeated = depth.phases.repeats or row.phases.repeats
    out_lines = out_rows and not cut.fold_columns and not repeated
    if cut.flat:
        # Of a line of rows, the results are a line of rows only if there is nothing between them.
        pitch = cut.spread_pitch or cut.result_pitch
        exact = pitch * dtype.itemsize == view.rows.strides[2]
        exact = exact and pitch == cut.tile_columns * channels
        out_lines = out_lines and exact and not cut.slide_rows
    lift_runs = converted and _are_lifted_runs(column, channels, rows)
    source_strips = (
        cut.slide_rows
        and not cut.flat
        and not loaded
        and not converted
        and codes is None
        and _are_inputs(depth)
        and view.rows.strides[0] >= 0
        and view.rows.strides[0] % dtype.itemsize == 0
    )
    source_lines = source_strips or (
        not loaded
        and rows.source is not None
        and (lift_runs or not converted)
        and codes is None
        and not cut.slide_rows
        and _are_inputs(depth)
        and _are_inputs(row)
        and column.interior() == range(column.outputs)
        and view.rows.strides[0] % rows.source.itemsize == 0
        and (not cut.flat or view.rows.strides[0] * row.stride == cut.pitch * rows.source.itemsize)
    )
    laid_lines = column == no_windows(column.length) and not (
        (cut.flat and cut.slide_rows) or cut.fold_columns or (source_lines and not source_strips)
    )
    for name, axis in zip(AXES, (depth, row, column), strict=True):
        builder.axis(name, axis)
    if codes is not None:
        builder.codes(codes)
    builder.windows(view, divisor)
    builder.set(
        items=items,
        channels=channels,
        itemsize=dtype.itemsize,
        coded=codes is not None,
        pairs=rows.pairs,
        source_lines=source_lines,
        lift_runs=lift_runs and source_lines,
        laid_lines=laid_lines,
        out_lines=out_lines,
        **cut._asdict(),
        **numbers,
    )
    if not loaded:
        rows = rows._replace(load=None)
    if out_rows:
        rows = rows._replace(store=None)
    count = items * depth.places * cut.bands * cut.tiles * cut.blocks
    work = work_of((depth, row, column), items * channels * dtype.itemsize)
    if rows.load is not None and rows.load[0] in _TAKING:
        itemsize = np.dtype(rows.load[1]).itemsize
        builder.set(take=take_of(view, itemsize, rows.swapped))
    return builder.finished((cut.walk,), rows, count, work)
