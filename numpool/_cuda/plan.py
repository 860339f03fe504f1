"""What a kernel has to know of a call: sizes and steps of its walk, and the tables of windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpool._cuda.passes import Pass
from numpool._cuda.scalars import SIMULATED, Divider, divider
from numpool._cuda.tables import FIELDS, Table
from numpool._plans import position_steps
from numpool._views import Dimension, View
from numpool._windows import Axis, Windows

# Kernels work in 32 bits where every number of a call is below this.
_NARROW = 2**31
# Two for each that a large device runs at a time.
_THREADS = 2**19
_MOST_ROWS = 8


class Operands(NamedTuple):
    """Something of each operand of a kernel."""

    source: Any
    other: Any
    out: Any
    extra: Any


class WindowAxis(NamedTuple):
    """A window axis of a walk: see tables.Table. `place_code`, `first_code`, `tap_code` and
    `step_code` are what an output's place, its first tap's place and number, and a tap add to a
    code.
    """

    size: Divider
    table: int
    lead: int
    period: Divider
    repeats: int
    advance: int
    source_step: int
    other_step: int
    place_code: int
    first_code: int
    tap_code: int
    step_code: int


class Walk(NamedTuple):
    """The walk of a kernel over all outputs: channels, columns, rows, depths, and batch axes, which
    a table holds. `start` is the operands' first element, `steps` how many elements lie between
    neighbours along depth, rows, columns and channels. A thread has the outputs of `band` rows.
    """

    threads: int
    start: Operands
    steps: Operands
    band: int
    channels: Divider
    bands: Divider
    column: WindowAxis
    row: WindowAxis
    depth: WindowAxis
    batch_axes: int
    batch: int
    code: int


class Numbers(NamedTuple):
    """The floats of a call; see _rules.py."""

    p: float = 0.0
    inverse: float = 0.0
    correction: float = 0.0
    low: float = 0.0
    high: float = 0.0
    scale: float = 0.0
    exponent: float = 0.0
    divisor: float = 1.0


class Plan(NamedTuple):
    """A walk, the tables it reads, and whether it needs 64 bits."""

    walk: Walk
    tables: np.ndarray
    wide: bool


class Memory(NamedTuple):
    """How an operand lies in memory, in elements: where its first one is, and how many there are
    from the lowest to the highest.
    """

    itemsize: int
    start: int
    span: int


def memory_of(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Memory:
    """The memory of an array that is not empty."""
    reaches = [(n - 1) * s // itemsize for n, s in zip(shape, strides, strict=True) if n > 1]
    start = -sum(r for r in reaches if r < 0)
    return Memory(itemsize, start, start + sum(r for r in reaches if r > 0) + 1)


class Codes(NamedTuple):
    """How indices are counted: (what a step adds to a position, and a tap to an offset) for each of
    some axes of the array, and what all codes begin with. `own`: the code is that of the output's
    own place. All codes are below `limit`.
    """

    axes: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]
    offsets: bool
    own: bool
    limit: int
    first: int = 0

    def of(self, axis: int | None, table: Table) -> tuple[int, int, int, int]:
        """What place, first tap's place, first tap's number and a tap's step add to a code."""
        if axis is None:
            return 0, 0, 0, 0
        position, offset = self.steps[self.axes.index(axis)]
        if self.offsets:
            return 0, 0, offset, offset * table.tap_step
        if self.own:
            return position, 0, 0, 0
        return 0, position, 0, position * table.step


def codes_of(windows: Windows, offsets: bool, own: bool = False) -> Codes:
    """The codes of positions, or of `offsets`."""
    limit = windows.taps if offsets else math.prod(w.length for w in windows.windows)
    steps = position_steps(windows)
    return Codes(windows.axes, tuple(steps[a] for a in windows.axes), offsets, own, limit)


def codes_along(codes: Codes, along: Pass) -> Codes:
    """What a pass adds to codes."""
    steps, first = [], 0
    for axis, window in zip(along.windows.axes, along.windows.windows, strict=True):
        position, offset = codes.steps[codes.axes.index(axis)]
        if not window.trivial:
            first = offset * along.skipped if codes.offsets else 0
            position, offset = position * along.places, offset * along.taps
        steps.append((position, offset))
    return codes._replace(axes=along.windows.axes, steps=tuple(steps), first=first)


class _Builder:
    """A plan in the making: the tables, and the largest number of a kernel."""

    def __init__(self, itemsizes: tuple[int, ...], codes: Codes | None) -> None:
        self.itemsizes = itemsizes
        self.codes = codes
        self.tables: list[np.ndarray] = []
        self.used = 0

    def table(self, values: np.ndarray) -> int:
        at = self.used
        self.tables.append(values.reshape(-1).astype(np.int64))
        self.used += values.size
        return at

    def steps(self, dimension: Dimension) -> tuple[int, ...]:
        """How many elements of each operand lie between neighbours."""
        return tuple(s // n for s, n in zip(dimension.strides, self.itemsizes, strict=True))

    def axis(self, dimension: Dimension, table: Table, size: int) -> WindowAxis:
        steps = self.steps(dimension)
        codes = (0, 0, 0, 0)
        if self.codes is not None:
            codes = self.codes.of(dimension.axis, table)
        return WindowAxis(
            divider(size),
            self.table(table.entries),
            table.lead,
            divider(table.period),
            table.repeats,
            table.advance,
            steps[0] * table.step,
            steps[1] * table.step,
            *codes,
        )


def _rows_of_a_thread(outputs: int, rows: int) -> int:
    """As many as leave the device enough threads: what comes before the first row of a thread is
    most of the work of a small window.
    """
    return min(max(outputs // _THREADS, 1), _MOST_ROWS, rows)


def plan_walk(
    view: View,
    tables: Callable[[Axis], Table],
    backward: bool,
    memory: Sequence[Memory | None],
    codes: Codes | None,
    lanes: int = 1,
    by_warps: bool = False,
) -> Plan:
    """The plan of a walk over a view of operands that lie in some `memory`: over the outputs of its
    windows, or over their inputs if `backward`. `tables` are made of each axis. A thread has
    `lanes` neighbouring channels, or a warp an output.
    """
    builder = _Builder(tuple(1 if m is None else m.itemsize for m in memory), codes)
    dimensions = (view.columns, view.rows, view.depth)
    sizes = [d.window.length if backward else d.window.outputs for d in dimensions]
    column, row, depth = (
        builder.axis(d, tables(d.window), size) for d, size in zip(dimensions, sizes, strict=True)
    )
    entries = builder.tables[:]
    channels = view.channels.window.length // lanes
    batch = [(*divider(d.window.length), *builder.steps(d)) for d in reversed(view.batch)]
    total = math.prod([channels, *sizes, *(d.window.length for d in view.batch)])
    lanes_apart = view.channels._replace(strides=tuple(s * lanes for s in view.channels.strides))
    steps = map(builder.steps, (view.depth, view.rows, view.columns, lanes_apart))
    band = 1 if by_warps else _rows_of_a_thread(total, sizes[1])
    bands = -(-sizes[1] // band)
    walk = Walk(
        total // sizes[1] * bands,
        Operands(*(0 if m is None else m.start for m in memory)),
        Operands(*zip(*steps, strict=True)),
        band,
        divider(channels),
        divider(bands),
        column,
        row,
        depth,
        len(batch),
        builder.table(np.array(batch, np.int64).reshape(-1, 7)),
        0 if codes is None else codes.first,
    )
    largest = max(
        total,
        builder.used,
        0 if codes is None else codes.limit,
        *(0 if m is None else m.span for m in memory),
        *(int(abs(t.reshape(-1, FIELDS)[:, :3]).max(initial=0)) for t in entries),
    )
    wide = largest >= _NARROW
    # Never empty, and the lowest bits of what nobody asks for.
    flat = np.concatenate([*builder.tables, np.zeros(1, np.int64)])
    return Plan(walk, flat if wide else flat.astype(np.int32), wide)


def as_arguments(value: Any, wide: bool) -> Any:
    """Numbers in nested tuples as what kernels take: integers keep their lowest bits."""
    if isinstance(value, tuple):
        parts = [as_arguments(v, wide) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, float):
        return np.float64(value)
    if SIMULATED:
        return value
    if wide:
        return np.uint64(value % 2**64).astype(np.int64)
    return np.uint32(value % 2**32).astype(np.int32)
