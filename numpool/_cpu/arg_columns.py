"""The walk of an arg-max over rows of single columns: windows tap by tap, as vectors over
neighbouring outputs.

The rows of a band are laid out as integers in the order of their elements, each `stride` apart as a
piece of its own: then a tap of neighbouring windows is a vector, whatever the stride. Around the
data lies what no comparison prefers, and a window starts out with the number of its first tap that
holds data. As taps are taken in C order, of equal ones the first stays.

Where windows have few taps, it takes a half to a third of the time of packed values in lines if
they overlap; and if not, where the CPU has no wide vectors, 0.45 to 0.9.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import (
    CHECKED,
    address_of,
    array_at,
    call,
    fetch_ahead,
    function,
    keep,
    piece,
    read,
    write,
)
from numpool._cpu.ordered import from_ordered, infinity_bits, ordered
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import lowest_of, stored_type
from numpool._cpu.strided import every
from numpool._cpu.taps import taps_of
from numpool._cpu.tiles import first_code, item_addresses, parts_of
from numpool._cpu.vector_loops import splat
from numpool._cpu.vectors import unsigned

# Outputs of a vector.
LANES = 16
# Strides of windows that rows are laid out for.
STRIDES = (1, 2, 3, 4)

_CODE = ir.IntType(32)
_CODES = ir.VectorType(_CODE, LANES)
_WORD = ir.IntType(64)


def _word(value):
    return ir.Constant(_WORD, value)


class _Elements:
    """The elements of a NumPy dtype in memory, and the integers that they, or their magnitudes, are
    compared as.
    """

    def __init__(self, dtype, magnitude):
        self.magnitude = magnitude
        self.kind, self.itemsize = np.dtype(dtype).kind, np.dtype(dtype).itemsize
        self.stored, lowest = stored_type(dtype), lowest_of(dtype)
        self.signed = self.kind in "if"
        self.integer = getattr(types, f"{'int' if self.signed else 'uint'}{8 * self.itemsize}")
        self.vector = ir.VectorType(ir.IntType(8 * self.itemsize), LANES)
        self.lowest = -infinity_bits(8 * self.itemsize) if self.kind == "f" else lowest

    def load(self, builder, address):
        """A vector of what is compared."""
        pointer = builder.inttoptr(address, self.vector.as_pointer())
        values = builder.load(pointer, align=self.itemsize)
        if self.magnitude:
            values = unsigned(builder, values)
        if self.kind == "f":
            return ordered(builder, values)
        if self.kind == "b":  # any byte but 0 is True
            true = builder.icmp_unsigned("!=", values, ir.Constant(self.vector, None))
            return builder.zext(true, self.vector)
        return values

    def store(self, builder, values, address):
        """Such a vector as elements."""
        if self.kind == "f":
            values = from_ordered(builder, values)
        pointer = builder.inttoptr(address, self.vector.as_pointer())
        builder.store(values, pointer, align=self.itemsize)

    def is_larger(self, builder, a, b):
        return (builder.icmp_signed if self.signed else builder.icmp_unsigned)(">", b, a)


class _Tile(NamedTuple):
    """Neighbouring columns of outputs: the first and how many, the first that holds data of those
    that their windows reach over and how many, and how many lie before these.
    """

    column: int
    columns: int
    low: int
    size: int
    lead: int


@function
def tile_from(plan, column):
    """The tile that starts with a column."""
    columns = min(plan.tile_columns, plan.column.outputs - column)
    start = column * plan.column.stride - plan.column.before
    reach = (columns - 1) * plan.column.stride + (plan.column.kernel - 1) * plan.column.dilation + 1
    low = max(start, 0)
    size = min(start + reach, plan.column.length) - low
    return _Tile(column, columns, low, size, low - start)


def _make_lay(elements, stride):
    """An intrinsic that lays out some vectors of each piece of a row. The first element goes to
    place `lead`, and place n to n // stride of piece n % stride; pieces are `pitch` bytes apart.
    """

    @intrinsic
    def lay(typing_context, source, target, lead, pitch, vectors):
        def codegen(context, builder, signature, args):
            source, target, lead, pitch, vectors = args
            by, size = _word(stride), LANES * elements.itemsize
            targets = []
            for first in range(stride):
                place = builder.add(lead, _word(first))
                apart = builder.mul(builder.urem(place, by), pitch)
                there = builder.mul(builder.udiv(place, by), _word(elements.itemsize))
                targets.append(builder.add(target, builder.add(apart, there)))
            with cgutils.for_range(builder, vectors) as loop:
                start = builder.add(source, builder.mul(loop.index, _word(stride * size)))
                loaded = [
                    elements.load(builder, builder.add(start, _word(i * size)))
                    for i in range(stride)
                ]
                further = builder.mul(loop.index, _word(size))
                for first in range(stride):
                    address = builder.add(targets[first], further)
                    pointer = builder.inttoptr(address, elements.vector.as_pointer())
                    values = every(builder, loaded, first)
                    builder.store(values, pointer, align=elements.itemsize)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return lay


def _make_window(elements, index_dtype):
    """An intrinsic that finds the arg-max of neighbouring windows and stores it."""
    index = stored_type(index_dtype)
    indices = ir.VectorType(ir.IntType(index.bitwidth), LANES)

    @intrinsic
    def window(
        typing_context, source, places, codes, taps, first_codes, numbers, base, out, extra
    ):  # fmt: skip
        """`places` and `codes` are tables by tap, `first_codes` and `numbers` by output: its first
        tap with data, and what to add to `base` for its index.
        """

        def codegen(context, builder, signature, args):
            source, places, codes, taps, first_codes, numbers, base, out, extra = args

            def entry(table, number, kind):
                size = kind.element.width * LANES if kind is _CODES else kind.width
                address = builder.add(table, builder.mul(number, _word(size // 8)))
                pointer = builder.inttoptr(address, kind.as_pointer())
                return builder.load(pointer, align=4 if kind is _CODES else None)

            kind = elements.vector
            best = cgutils.alloca_once_value(builder, ir.Constant(kind, [elements.lowest] * LANES))
            found = cgutils.alloca_once_value(builder, entry(first_codes, _word(0), _CODES))
            with cgutils.for_range(builder, taps) as loop:
                address = builder.add(source, entry(places, loop.index, _WORD))
                pointer = builder.inttoptr(address, kind.as_pointer())
                value, kept = builder.load(pointer, align=elements.itemsize), builder.load(best)
                larger = elements.is_larger(builder, kept, value)
                code = splat(builder, entry(codes, loop.index, _CODE), _CODES)
                builder.store(builder.select(larger, value, kept), best)
                builder.store(builder.select(larger, code, builder.load(found)), found)
            elements.store(builder, builder.load(best), out)
            wide = ir.VectorType(_WORD, LANES)
            found = builder.add(builder.load(found), entry(numbers, _word(0), _CODES))
            index = builder.add(builder.sext(found, wide), splat(builder, base, wide))
            if indices != wide:
                index = builder.trunc(index, indices)
            pointer = builder.inttoptr(extra, indices.as_pointer())
            builder.store(index, pointer, align=indices.element.width // 8)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 9), codegen

    return window


def make_walk_arg_columns(dtype, index_dtype, magnitude=False):
    """The walk over elements of `dtype`, or their magnitudes."""
    elements, index = _Elements(dtype, magnitude), stored_type(index_dtype)
    stored, itemsize, index_itemsize = elements.stored, elements.itemsize, itemsize_of(index)
    integer, lowest = elements.integer, elements.lowest
    # What ends a row comes after a tap with data, so that a magnitude of 0 is not preferred either.
    unlaid_lowest = stored(0 if magnitude else lowest_of(dtype))
    lay_1, lay_2, lay_3, lay_4 = (_make_lay(elements, stride) for stride in STRIDES)
    window = _make_window(elements, index_dtype)

    @function
    def lay_pieces(stride, source, target, lead, pitch, vectors):
        if stride == 1:
            lay_1(source, target, lead, pitch, vectors)
        elif stride == 2:
            lay_2(source, target, lead, pitch, vectors)
        elif stride == 3:
            lay_3(source, target, lead, pitch, vectors)
        else:
            lay_4(source, target, lead, pitch, vectors)

    @function
    def lay_row(plan, source, size, target, lead, rest):
        """Lay out `size` elements of a row; by way of `rest`, which ends with what no comparison
        prefers, if they cannot be read as they lie or are too few.
        """
        stride = plan.column.stride
        block, pitch = LANES * stride, plan.pitch * itemsize
        most = lead // stride + 1 + (size + block - 1) // block * LANES
        if CHECKED and most > plan.pitch:
            raise IndexError("a row reaches beyond its pieces")
        if plan.source_lines and size >= block:
            whole = size // block
            lay_pieces(stride, source, target, lead, pitch, whole)
            # The last ones reach back over some that are done already.
            last = size - block
            lay_pieces(stride, source + last * itemsize, target, lead + last, pitch, 1)
            return
        if plan.take:
            call(plan.take, (source, plan.source.column, size, address_of(rest)))
        else:
            for i in range(size):
                rest[i] = read(source + i * plan.source.column, stored)
        lay_pieces(stride, address_of(rest), target, lead, pitch, (size + block - 1) // block)

    @function
    def lay_band(plan, tile, source, first, last, laid, rest):
        """Lay out the rows of a band from the first to the last."""
        row_size = plan.column.stride * plan.pitch
        for row in range(first, last):
            line = piece(laid, (row - first) * row_size, row_size)
            there = source + row * plan.source.row + tile.low * plan.source.column
            fetch_ahead(there, plan.source.row)
            lay_row(plan, there, tile.size, address_of(line), tile.lead, rest)

    @function
    def list_taps(plan, depths, rows, places, codes):
        """Tables of the taps of an output, of so many depths and rows, from its first on."""
        stride = plan.column.stride
        tap = 0
        for depth in range(depths):
            for row in range(rows):
                row_line = depth * plan.batch_rows + row * plan.row.dilation
                row_code = depth * plan.depth.code + row * plan.row.code
                for column in range(plan.column.kernel):
                    place, first = divmod(column * plan.column.dilation, stride)
                    line = row_line * stride + first
                    places[tap] = (line * plan.pitch + place) * itemsize
                    codes[tap] = row_code + column * plan.column.code
                    tap += 1

    @function
    def check_taps(plan, laid, row, places, taps, columns):
        """Vectors of outputs must end in what is laid out."""
        end = row * plan.column.stride * plan.pitch + (columns + LANES - 1) // LANES * LANES
        for tap in range(taps):
            if end + places[tap] // itemsize > laid.size:
                raise IndexError("a tap of neighbouring windows reaches beyond its buffer")

    @function
    def work_row(plan, source, taps, tables, columns, result, indices, out, extra, base):
        """A row of outputs; `tables` are those that `window` takes."""
        places, codes, first_codes, numbers = tables
        # Where results are in pieces or of less than a vector, they go by way of lines.
        whole = plan.out.column == itemsize and plan.extra.column == index_itemsize
        whole = whole and columns >= LANES
        to = out if whole else address_of(result)
        indices_to = extra if whole else address_of(indices)
        for number in range(0, columns, LANES):
            # The last ones reach back over some that are done already.
            first = min(number, max(columns - LANES, 0))
            window(
                source + first * itemsize, address_of(places), address_of(codes), taps,
                address_of(first_codes) + first * 4, address_of(numbers) + first * 4, base,
                to + first * itemsize, indices_to + first * index_itemsize,
            )  # fmt: skip
        if not whole:
            for i in range(columns):
                write(out + i * plan.out.column, result[i])
                write(extra + i * plan.extra.column, indices[i])

    def walk(
        plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        lanes = (plan.tile_columns + LANES - 1) // LANES * LANES
        laid, rest = np.empty(plan.laid_size, integer), np.empty(plan.loaded_size, stored)
        places, codes = np.empty(plan.level_size, np.int64), np.empty(plan.level_size, np.int32)
        first_codes, numbers = np.zeros(lanes, np.int32), np.empty(lanes, np.int32)
        result, indices = np.empty(lanes, stored), np.empty(lanes, index)
        tables = places, codes, first_codes, numbers
        for i in range(lanes):
            numbers[i] = i * plan.column_window.index_step
        tile, listed = _Tile(-1, 0, 0, 0, 0), (-1, -1)
        for task in range(first_task, last_task):
            _block, number, band, depth, item = parts_of(plan, task)
            source, _other, out, extra = item_addresses(
                plan, item, source_start, other_start, out_start, extra_start
            )
            column = number * plan.tile_columns
            if tile.column != column:
                before = tile
                tile = tile_from(plan, column)
                for i in range(tile.columns):
                    first_codes[i] = 0
                for i in range(min(plan.column.regular_first - column, tile.columns)):
                    first, _ = taps_of(plan.column, column + i)
                    first_codes[i] = first_code(plan.column, column + i, first)
                if (tile.size, tile.lead) != (before.size, before.lead):
                    for i in range(laid.size):
                        laid[i] = lowest
                    for i in range(rest.size):
                        rest[i] = unlaid_lowest
            first_row = band * plan.band_rows
            last_row = min(first_row + plan.band_rows, plan.row.outputs)
            first_laid = max(first_row * plan.row.stride - plan.row.before, 0)
            last_laid = (last_row - 1) * plan.row.stride - plan.row.before
            last_laid += (plan.row.kernel - 1) * plan.row.dilation + 1
            last_laid = min(last_laid, plan.row.length)
            first_depth, depths = taps_of(plan.depth, depth)
            source += first_depth * plan.source.depth
            band_size = plan.batch_rows * plan.column.stride * plan.pitch
            for tap in range(depths):
                there = source + tap * plan.depth.dilation * plan.source.depth
                band_laid = piece(laid, tap * band_size, band_size)
                lay_band(plan, tile, there, first_laid, last_laid, band_laid, rest)
            base = plan.index_base + depth * plan.depth_window.index_step
            base += first_code(plan.depth, depth, first_depth)
            base += column * plan.column_window.index_step
            out += depth * plan.out.depth + column * plan.out.column
            extra += depth * plan.extra.depth + column * plan.extra.column
            for row in range(first_row, last_row):
                first, rows = taps_of(plan.row, row)
                taps, line = depths * rows * plan.column.kernel, first - first_laid
                if (depths, rows) != listed:
                    listed = depths, rows
                    list_taps(plan, depths, rows, places, codes)
                if CHECKED:
                    check_taps(plan, laid, line, places, taps, tile.columns)
                work_row(
                    plan, address_of(laid) + line * plan.column.stride * plan.pitch * itemsize,
                    taps, tables, tile.columns, result, indices, out + row * plan.out.row,
                    extra + row * plan.extra.row, base + row * plan.row_window.index_step
                    + first_code(plan.row, row, first),
                )  # fmt: skip
        keep(laid)
        return last_task - first_task

    return walk
