"""Plans for many small planes, which are walked as channels: see _cpu/planes.py."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from numpool._cpu import library
from numpool._cpu.plan import OPERANDS
from numpool._cpu.planes import BACK, INTO, PLANES, TILE
from numpool._cut import TASKS
from numpool._plans import PARALLEL_BYTES, Plan
from numpool._views import Dimension, View, canonical
from numpool._windows import Axis, Windows

# Planes with rows of up to as many columns are small: usually, and where columns are combined in
# pairs, which is quick along rows as well: fewer, if elements become accumulators by powers without
# another type, or are accumulators as they are.
_WIDE, PAIRED, PAIRED_POWERS, PAIRED_PLAIN = 64, 40, 16, 6
# A block of planes fits the second-level cache.
_BLOCK_BYTES = 1 << 18
_BLOCK_PLANES = 64
# Where windows are spread, as many planes if they fit and all threads have some to do: 1.1 to 1.4
# times as fast on planes 7 x 7 to 14 x 14.
_SPREAD_PLANES = 256
_FEW_PLANES = 16


def planned(
    windows: Windows,
    shape: tuple[int, ...],
    operands: Sequence[np.ndarray | None],
    *,
    lead: int,
    keep_axes: bool,
    paired: int,
    runs: bool,
    as_they_are: Callable[[View], bool],
    make: Callable[[View, int], Plan],
) -> Plan:
    """The plan of a walk over `operands`, made by `make(view, tasks)`: as they are, or block by
    block where they are many small planes. `paired`: the most columns of these where columns are
    combined in pairs, one of the above; `runs` as `canonical` has it; `as_they_are`: whether those
    of a view, its axes joined, are no gain as channels.
    """
    strides = [None if a is None else a.strides for a in operands]
    joined = canonical(windows, shape, strides, lead, keep_axes, runs=runs)
    view = canonical(windows, shape, strides, lead, keep_axes, join=False)
    block = 0 if as_they_are(joined) else _block(view, operands, lead, paired)
    if block == 0:
        return make(joined, TASKS)
    return _Builder(view, operands, lead, block).plan(make)


def _planes(view: View) -> tuple[Dimension, Dimension, Dimension]:
    return view.depth, view.rows, view.columns


def _sizes(view: View, lead: int) -> list[tuple[int, int, int]]:
    """The shape of a plane of each operand."""
    windows = [d.window for d in _planes(view)]
    depth, rows, columns = windows
    inputs = (depth.length, rows.length, columns.length)
    outputs = (depth.outputs, rows.outputs, columns.outputs)
    first, last = (inputs, outputs) if lead == 0 else (outputs, inputs)
    return [first, first, last, last]


def _widest(view: View, paired: int) -> int:
    """The most columns of a small plane."""
    column = view.columns.window
    if column.dilation > 1 or column.stride % 2:
        return _WIDE
    if column.kernel % 2 == 0:
        return paired if view.depth.window.length == 1 else PAIRED
    return PAIRED if column.kernel == 3 else _WIDE


def _block(view: View, operands: Sequence[np.ndarray | None], lead: int, paired: int) -> int:
    """How many planes are a block; 0 where they are not small, or not many."""
    single_row = view.depth.window.length == view.rows.window.length == 1
    if not view.batch or view.channels.window.length > 1 or single_row:
        return 0
    if view.columns.window.length > _widest(view, paired):
        return 0
    planes = view.batch[-1].window.length
    size = sum(
        math.prod(shape) * operand.itemsize
        for shape, operand in zip(_sizes(view, lead), operands, strict=True)
        if operand is not None
    )
    most = _BLOCK_PLANES
    if lead == 2 and view.columns.window.stride > 1 and _SPREAD_PLANES * size <= _BLOCK_BYTES:
        many = math.prod(d.window.length for d in view.batch) >= TASKS * _SPREAD_PLANES
        most = _SPREAD_PLANES if many else most
    block = min(planes, most, _BLOCK_BYTES // size)
    if block < _FEW_PLANES:
        return 0
    # Blocks of about one size, in whole tiles.
    blocks = -(-planes // block)
    return min(-(-planes // blocks // TILE) * TILE, planes // TILE * TILE)


class _Builder:
    """A plan in the making: the record, and where the operands of a block are in the buffer."""

    def __init__(
        self, view: View, operands: Sequence[np.ndarray | None], lead: int, block: int
    ) -> None:
        self.view, self.operands, self.block = view, operands, block
        self.sizes = _sizes(view, lead)
        self.record = np.zeros(1, PLANES)
        self.strides: list[tuple[int, int, int, int]] = []
        at = 0
        for i, (name, operand) in enumerate(zip(OPERANDS, operands, strict=True)):
            width = 0 if operand is None else operand.itemsize
            depths, rows, columns = self.sizes[i]
            pitch = block * width
            self.strides.append((rows * columns * pitch, columns * pitch, pitch, width))
            if operand is None:
                continue
            moved = INTO if i < 2 or (i == 3 and lead == 2) else BACK
            self.record[name] = (moved, width, at, *self._plane(i))
            at += -(-depths * rows * columns * pitch // 64) * 64
        self.record["buffer_size"] = at

    def _plane(self, operand: int) -> tuple[int, ...]:
        """Bytes between planes of an operand, and the sizes and strides of one, joined where it is
        contiguous.
        """
        axes = [
            (n, d.strides[operand])
            for n, d in zip(self.sizes[operand], _planes(self.view), strict=True)
        ]
        joined = [axes.pop()]
        while axes:
            size, stride = axes.pop()
            inner, step = joined[-1]
            if size == 1 or stride == inner * step:
                joined[-1] = (size * inner, step)
            else:
                joined.append((size, stride))
        joined += [(1, 0)] * (3 - len(joined))
        numbers = [number for axis in reversed(joined) for number in axis]
        return (self.view.batch[-1].strides[operand], *numbers)

    def plan(self, make: Callable[[View, int], Plan]) -> Plan:
        def inside(dimension: Dimension, level: int) -> Dimension:
            strides = tuple(s[level] for s in self.strides)
            return dimension._replace(strides=strides)

        block = Axis(self.block, 1, 1, 1, 0, 0, self.block)
        channels = Dimension(block, tuple(s[3] for s in self.strides))
        depth, rows, columns = (inside(d, i) for i, d in enumerate(_planes(self.view)))
        return self._around(make(View((), depth, rows, columns, channels), 1))

    def _around(self, walk: Plan) -> Plan:
        """The plan that does a walk for each block."""
        record = self.record.copy()
        planes = self.view.batch[-1].window.length
        blocks = -(-planes // self.block)
        others = self.view.batch[:-1]
        batch = np.array([(d.window.length, *d.strides) for d in reversed(others)], np.int64)
        entries = {
            "walk": walk.kernel, "plan": walk.address, "tasks": walk.tasks, "planes": planes,
            "block": self.block, "blocks": blocks, "batch": batch.ctypes.data,
            "batch_axes": len(others),
        }  # fmt: skip
        for name, value in entries.items():
            record[name] = value
        tasks = blocks * math.prod(d.window.length for d in others)
        work = tasks * int(record["buffer_size"][0])
        return Plan(
            library.address("walk_planes"),
            record,
            record.ctypes.data,
            (batch, walk.record, *walk.tables),
            tasks,
            tasks > 1 and work >= PARALLEL_BYTES,
            otherwise=functools.cache(functools.partial(self._otherwise, walk)),
        )

    def _otherwise(self, walk: Plan) -> Plan | None:
        """The same where the walk gives up on what it finds."""
        other = walk.otherwise()
        return None if other is None else self._around(other)
