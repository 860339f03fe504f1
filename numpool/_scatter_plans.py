"""Plans of the backward pass of max: how the input is cut into boxes and the outputs into lines."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from numpool._cpu import library
from numpool._cpu.scatter_masks import MOST_REACH, MOST_TAPS
from numpool._cpu.scatter_plan import AXIS, OPERANDS, SCATTER
from numpool._plans import Plan
from numpool._views import Dimension, View, canonical
from numpool._windows import Axis, Windows

# A line of outputs and all that is known of them fits the first-level cache, a box the second.
_LINE = 2048
_BOX = 1 << 16
_SMALL_BOX = 1 << 12
# Where windows would reach into many boxes, a box has as few of many channels, and is as many
# windows long: 2 to 6 times as fast on windows of 5 to 60 taps. There are at most so many tasks.
_CHANNELS = 16
_REACHES = 2
_FEW_TASKS = 16
# A box of fewer channels is larger where windows reach into more than so many: 1.2 times as fast on
# windows 31 x 31.
_MOST_REACHED = 1.25
_LARGE_BOX = 1 << 18
# Enough tasks to keep any number of threads busy.
_TASKS = 64
# Windows are scattered tap by tap where they start one after the other in runs of at least so many.
_SHORTEST_RUN = 32
# And window by window where they are so many channels: 1.3 to 4 times as fast as one by one.
_MANY_CHANNELS = 32
# Others are by their positions, where a line has so many outputs of each item: 1.05 to 1.25 times
# as fast as by the numbers of taps.
_POSITIONS = 256
# Below this many bytes of work, starting threads costs more than it gains.
_PARALLEL_BYTES = 1 << 17
# Below these, indices and what becomes of them are exact in float32: see locate.py.
_EXACT_INDEX = 2**22
_EXACT_PLACE = 2**23
# Numbers of taps are bytes.
_CODES = 256
# Bits of all taps of a row are kept for rows of up to so many outputs.
_MASKED_ROW = 1 << 16

_ONE = Axis(1, 1, 1, 1, 0, 0, 1)


class Operands(NamedTuple):
    """The dtypes and strides of a scatter's arrays; `x` is there if gradients take its sign."""

    gradient: np.dtype
    indices: np.dtype
    out: np.dtype
    strides: tuple[tuple[int, ...] | None, ...]
    signed: bool


class _Cut(NamedTuple):
    """The cut of the input into boxes, (depth, rows, columns) of `group` items and
    `block_channels`, and of outputs into lines.
    """

    box: tuple[int, int, int]
    group: int
    block_channels: int
    whole: bool
    line_rows: int
    line_columns: int


def _cut(axes: list[Axis], items: int, total_items: int, channels: int) -> _Cut:
    depth, row, column = axes
    volume = math.prod(a.length for a in axes) * channels
    outputs = math.prod(a.outputs for a in axes) * channels
    box = min(max(volume * total_items // _TASKS, _SMALL_BOX), _BOX)
    if volume <= box and outputs <= _LINE:
        group = max(min(items, _LINE // outputs, box // volume), 1)
        lengths = (depth.length, row.length, column.length)
        return _Cut(lengths, group, channels, True, row.outputs, column.outputs)
    cut = _cut_places(axes, channels, box)
    reached = _boxes_of_windows(axes, cut.box)
    if channels >= _CHANNELS:
        # To look at an output in vain takes as long as many places of the input.
        too_large = math.prod(cut.box) * cut.block_channels > 2 * box
        if too_large or (reached - 1) * outputs * 16 > volume:
            return _cut_channels(axes, total_items, channels)
    elif reached > _MOST_REACHED:
        box = min(max(volume * total_items // _FEW_TASKS, box), _LARGE_BOX)
        return _cut_places(axes, channels, box)
    return cut


def _cut_places(axes: list[Axis], channels: int, box: int) -> _Cut:
    """The cut into boxes of so many elements, of whole rows if there is room."""
    _depth, row, column = axes
    block = min(channels, _LINE)
    sides = [1, 1, min(column.length, max(box // block, 1))]
    line_rows, line_columns = 1, min(column.outputs, max(_LINE // block, 1))
    if sides[2] == column.length:
        # About as many planes as rows, so that few outputs reach into two boxes.
        planes = max(box // (column.length * block), 1)
        depths = min(axes[0].length, max(math.isqrt(planes), planes // row.length))
        sides[:2] = depths, min(row.length, max(planes // depths, 1))
        if line_columns == column.outputs:
            line_rows = min(row.outputs, max(_LINE // (block * column.outputs), 1))
    depths, rows, columns = (_aligned(s, a) for s, a in zip(sides, axes, strict=True))
    return _Cut((depths, rows, columns), 1, block, False, line_rows, line_columns)


def _boxes_of_windows(axes: list[Axis], sides: tuple[int, int, int]) -> float:
    """About how many boxes of such sides a window reaches into."""
    return math.prod(
        (side + axis.reach - 1) / side
        for axis, side in zip(axes, sides, strict=True)
        if side < axis.length
    )


def _cut_channels(axes: list[Axis], total_items: int, channels: int) -> _Cut:
    """The cut into boxes of a few channels, which are longer than windows along each axis."""
    volume = math.prod(a.length for a in axes) * channels
    box = min(max(volume * total_items // _FEW_TASKS, _SMALL_BOX), _BOX)
    sides = [min(axis.length, _REACHES * axis.reach) for axis in axes]
    block = min(channels, _LINE, box // math.prod(sides))
    blocks = -(-channels // max(block, _CHANNELS))
    block = -(-channels // blocks)
    for i in (2, 1, 0):
        others = math.prod(sides) // sides[i] * block
        longest = min(max(sides[i], box // others), axes[i].length)
        sides[i] = _aligned(longest, axes[i])
    _depth, row, column = axes
    line_columns = min(column.outputs, max(_LINE // block, 1))
    line_rows = 1
    if sides[2] == column.length and line_columns == column.outputs:
        line_rows = min(row.outputs, max(_LINE // (block * column.outputs), 1))
    depths, rows, columns = sides
    return _Cut((depths, rows, columns), 1, block, False, line_rows, line_columns)


def _aligned(size: int, axis: Axis) -> int:
    """A size of box in which windows begin alike, if it is cut at all."""
    return size if size >= axis.length else max(size // axis.stride, 1) * axis.stride


def _index_order(view: View) -> list[int]:
    """Which of depth, rows and columns an index has, innermost first."""
    found = enumerate((view.depth, view.rows, view.columns))
    return [i for _, i in sorted((-d.axis, i) for i, d in found if d.axis is not None)]


class _Builder:
    """A plan in the making: the record, and the tables whose addresses it holds.

    `sizes` is the shape of a line: items, depths, rows, columns and channels.
    """

    def __init__(self, windows: Windows, shape: tuple[int, ...], operands: Operands) -> None:
        self.record = np.zeros(1, SCATTER)
        self.tables: list[np.ndarray] = []
        self.operands = operands
        self.offsets = operands.indices.kind == "u"
        self.computed = np.result_type(operands.gradient, operands.out, np.float32)
        self.view = view = canonical(
            windows, shape, operands.strides, 2, keep_axes=True, join=False
        )
        items = view.batch[-1] if view.batch else Dimension(_ONE, (0,) * len(OPERANDS))
        self.dimensions = [items, view.depth, view.rows, view.columns, view.channels]
        self.axes = [d.window for d in self.dimensions[1:4]]
        self.items, self.channels = items.window.length, view.channels.window.length
        self.all_items = math.prod(d.window.length for d in view.batch)
        self.order = _index_order(view)
        self.cut = cut = _cut(self.axes, self.items, self.all_items, self.channels)
        depths = self.axes[0].outputs if cut.whole else 1
        self.sizes = [cut.group, depths, cut.line_rows, cut.line_columns, cut.block_channels]
        self.direct = self._is_direct()
        lengths = tuple(a.length for a in self.axes)
        box = lengths if self.direct else cut.box
        block = cut.block_channels
        self.steps = [math.prod(box[i + 1 :]) * block for i in range(3)]
        self.item_step = math.prod(box) * block
        self.entries = self._entries()
        self.far = self._is_far()

    def set(self, **values: Any) -> None:
        for name, value in values.items():
            self.record[name] = value

    def table(self, name: str, values: np.ndarray) -> None:
        """Keep a table and enter its address."""
        self.tables.append(np.ascontiguousarray(values))
        self.record[name] = self.tables[-1].ctypes.data

    def dense(self, operand: int, itemsize: int) -> bool:
        """Whether a line of an operand is one contiguous piece."""
        expected = itemsize
        for dimension, size in zip(reversed(self.dimensions), reversed(self.sizes), strict=True):
            if size > 1 and dimension.strides[operand] != expected:
                return False
            expected *= size
        return True

    def _is_direct(self) -> bool:
        """Whether sums are taken in `out` itself: where it is dense, and a box one piece of it.
        Sums between the pieces would be read and written back while other tasks add to them.
        """
        out = self.operands.out
        if self.computed != out or self.cut.block_channels < self.channels:
            return False
        depths, rows, columns = self.cut.box
        if rows > 1 and columns < self.axes[2].length:
            return False
        if depths > 1 and (rows, columns) != tuple(a.length for a in self.axes[1:]):
            return False
        expected = out.itemsize
        for dimension in reversed(self.dimensions[1:]):
            if dimension.window.length > 1 and dimension.strides[2] != expected:
                return False
            expected *= dimension.window.length
        return self.cut.group == 1 or self.dimensions[0].strides[2] == expected

    def _entries(self) -> np.ndarray:
        """The record of each axis."""
        entries = np.zeros(3, AXIS)
        for entry, axis, box, step in zip(
            entries, self.axes, self.cut.box, self.steps, strict=True
        ):
            for field in ("length", "outputs", "kernel", "stride", "dilation", "before", "reach"):
                entry[field] = getattr(axis, field)
            entry["box"], entry["boxes"], entry["step"] = box, -(-axis.length // box), step
            entry["dilation_inverse"] = 1 / axis.dilation
            entry["tap_step"] = axis.dilation * step
        position_step = 1
        for which in self.order:
            entry, axis = entries[which], self.axes[which]
            entry["position_step"] = position_step
            position_step *= axis.length
            if which != self.order[-1]:
                radix = axis.kernel if self.offsets else axis.length
                entry["radix"], entry["radix_inverse"] = radix, 1 / radix
        return entries

    def _is_far(self) -> bool:
        """Whether any number of locate.py may be too large for float32, or positions in a window
        are not told by their distance from its first tap.
        """
        largest_index = largest_place = 1
        for which in self.order:
            axis, entry = self.axes[which], self.entries[which]
            largest_index += (axis.reach - 1) * int(entry["position_step"])
            largest_place += (axis.reach - 1) * int(entry["step"])
            if self.sizes[1 + which] * axis.stride + axis.reach >= _EXACT_PLACE:
                return True
            if not self.offsets and which != self.order[-1] and axis.reach > axis.length:
                return True
        if self.offsets:
            largest_index = math.prod(a.kernel for a in self.axes)
        return largest_index >= _EXACT_INDEX or largest_place >= _EXACT_PLACE

    def adds_positions(self) -> bool:
        """Whether gradients are added by positions, of which places of a box have one after the
        other.
        """
        dense = self.channels == 1 and self.record["indices"]["dense"]
        if self.offsets or not dense or math.prod(self.sizes[1:]) < _POSITIONS:
            return False
        entries = (self.entries[i] for i in self.order)
        return all(entry["step"] == entry["position_step"] for entry in entries)

    def line(self) -> bool:
        """Enter where the windows of a line start; returns whether in places one after another."""
        item, depth, row, column, channel = np.ogrid[tuple(map(slice, self.sizes))]
        starts = [n * a.stride for n, a in zip((depth, row, column), self.axes, strict=True)]
        bases = item * self.item_step + channel
        origins = np.zeros(1, np.int64)
        for start, entry in zip(starts, self.entries, strict=True):
            bases = bases + start * entry["step"]
            origins = origins + start * entry["position_step"]
        number, integer = (np.int64, np.int64) if self.far else (np.float32, np.int32)
        lines = [np.broadcast_to(s, self.sizes).reshape(-1) for s in (*starts, origins)]
        self.table("starts", np.stack(lines[:3]).astype(number))
        self.table("origins", lines[3].astype(integer))
        self.table("bases", bases.reshape(-1))
        return bool((np.diff(bases.reshape(-1)) == 1).all())

    def taps(self) -> None:
        """Enter the numbers of taps and their places in the box.

        Positions of few are numbered with what dilation leaves out, as taps that hold no data: they
        are then no farther to take apart.
        """
        counted = not self.offsets and math.prod(a.reach for a in self.axes) <= MOST_TAPS
        numbers = 1
        for which in self.order:
            axis, entry = self.axes[which], self.entries[which]
            entry["tap_step"] = numbers * (axis.dilation if counted else 1)
            numbers *= axis.reach if counted else axis.kernel
        kernels = [a.kernel for a in self.axes]
        places = [a.dilation * s for a, s in zip(self.axes, self.steps, strict=True)]
        codes = self.entries["tap_step"].tolist()
        taps = np.indices(kernels).reshape(3, -1)
        tap_codes = (codes @ taps).astype(np.uint32)
        tap_places = np.full(_CODES, -(2**62))
        tap_places[tap_codes] = places @ taps
        self.table("tap_places", tap_places)
        rows = taps[:, :: kernels[2]]
        self.table("row_places", places @ rows)
        self.table("row_codes", codes @ rows)
        self.set(numbered=numbers, tap_rows=rows.shape[1], row_taps=kernels[2])
        self.set(tap_step=places[2], code_step=codes[2])
        if counted or (self.offsets and all(a.reach <= MOST_REACH for a in self.axes)):
            before = []
            for axis, tap in zip(self.axes[:2], taps, strict=False):
                there = tap * axis.dilation < np.arange(axis.reach + 1)[:, None]
                before.append((there << tap_codes).sum(axis=1))
            self.table("bits_before", np.concatenate(before).astype(np.uint32))
            self.masks(codes)

    def masks(self, codes: list[int]) -> None:
        """Enter which taps hold data, as bits: of whole items, else of columns alone, of all
        columns of a row if they are not too many.
        """
        column = self.axes[2]
        row_size = self.sizes[2] * column.outputs * self.sizes[4]
        one_box = self.entries[2]["boxes"] == 1 and row_size <= _MASKED_ROW
        masked = [self.cut.whole, self.cut.whole, self.cut.whole or one_box]
        sizes = [*self.sizes[:3], column.outputs if masked[2] else self.sizes[3], self.sizes[4]]
        held = []
        for axis, size, edges in zip(self.axes, sizes[1:4], masked, strict=True):
            start = np.arange(size)[:, None] * axis.stride - axis.before
            places = start + np.arange(axis.kernel) * axis.dilation
            held.append((places >= 0) & (places < axis.length) | (not edges))
        masks = np.zeros(sizes[1:4], np.uint32)
        for taps in itertools.product(*(range(a.kernel) for a in self.axes)):
            depths, rows, columns = (h[:, t] for h, t in zip(held, taps, strict=True))
            here = depths[:, None, None] & rows[:, None] & columns
            code = sum(t * c for t, c in zip(taps, codes, strict=True))
            masks |= here.astype(np.uint32) << np.uint32(code)
        self.table("masks", np.broadcast_to(masks[None, ..., None], sizes).reshape(-1))
        self.set(masked_columns=masked[2])

    def finished(self, work: int) -> Plan:
        cut, view, operands, far = self.cut, self.view, self.operands, self.far
        for i, name in enumerate(OPERANDS):
            self.record[name] = (*(d.strides[i] for d in self.dimensions), 0)
        for i, name in enumerate(OPERANDS[:2]):
            itemsize = getattr(operands, name).itemsize
            self.record[name]["dense"] = itemsize if self.dense(i, itemsize) else 0
        flat = self.line()
        taps = math.prod(a.kernel for a in self.axes)
        overlap = taps > math.prod(a.stride for a in self.axes)
        run = math.prod(self.sizes) if flat else cut.line_columns * cut.block_channels
        numbered = taps <= MOST_TAPS and not far
        if numbered:
            self.taps()
        self.table("axes", self.entries)
        self.table("order", np.array(self.order + [i for i in range(3) if i not in self.order]))
        batch = [(d.window.length, *d.strides) for d in reversed(view.batch[:-1])]
        self.table("batch", np.array(batch, np.int64))
        nowhere = -1
        if self.offsets and operands.indices.itemsize < 8:
            nowhere = int(np.iinfo(operands.indices).max)  # uint64's is -1 as int64, too
        gradient, indices, out = (d.name for d in operands[:3])
        computed = self.computed.name
        add: tuple = ("add_each", computed)
        if not numbered:
            add = ("add_places", computed, far)
        elif overlap and self.axes[2].stride == 1 and run >= _SHORTEST_RUN:
            add = ("add_taps", computed)
        elif self.adds_positions():
            add = ("add_positions", indices, computed)
        elif cut.block_channels >= _MANY_CHANNELS:
            add = ("add_channels", computed)
        loads = gradient != computed or not self.record["gradient"]["dense"] or operands.signed
        masked, located = self.record["masks"][0] != 0, not self.record["masked_columns"][0]
        groups, blocks = -(-self.items // cut.group), -(-self.channels // cut.block_channels)
        self.set(
            ordered=len(self.order),
            batch_axes=len(batch),
            items=self.items,
            group=cut.group,
            groups=groups,
            channels=self.channels,
            blocks=blocks,
            block_channels=cut.block_channels,
            item_step=self.item_step,
            whole=cut.whole,
            line_rows=cut.line_rows,
            line_columns=cut.line_columns,
            line_size=math.prod(self.sizes),
            direct=self.direct,
            box_size=cut.group * self.item_step,
            flat=flat,
            by_positions=add[0] == "add_positions",
            nowhere=nowhere,
            locate=library.address("locate", indices, far) if located else 0,
            number=library.address("number_taps", indices) if masked else 0,
            load=library.address("load_line", gradient, computed) if loads else 0,
            sign=library.address("sign_box", out, computed) if operands.signed else 0,
            add=library.address(*add),
            store=0 if self.direct else library.address("store_box", computed, out),
        )
        others = math.prod(d.window.length for d in view.batch[:-1])
        tasks = others * groups * blocks * int(self.entries["boxes"].prod())
        return Plan(
            library.address("scatter", computed),
            self.record,
            self.record.ctypes.data,
            tuple(self.tables),
            tasks,
            tasks > 1 and work >= _PARALLEL_BYTES,
        )


@functools.lru_cache(512)
def scatter_plan(windows: Windows, shape: tuple[int, ...], operands: Operands) -> Plan:
    """The plan of a scatter to an input of `shape`; see scatter.py."""
    work = math.prod(shape) * operands.out.itemsize
    return _Builder(windows, shape, operands).finished(work)
