"""Row functions: what is done to one row on its way into the engine and out of it.

They are compiled one by one and reached by address from the walks, so that a new pair of types
costs half a second of compiling and no further copy of an engine. Each is made by a function below
and has the one signature `SIGNATURE`:

load      from a source row, of any type and strides, to a line of accumulators
finish    from a line of accumulators to results, in place
store     from a line of results to a row of `out`, or of positions to a row of `extra`
"""

import numpy as np
from numba import types

from numpool import _operators
from numpool._cpu.lines import NO_POSITION
from numpool._cpu.memory import array_at, inline, piece, read, write
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.taps import divisor_of, divisor_of_row

# (plan, line, source, other, out, extra, depth, row, column, columns, channels): addresses, then
# where the row is. `source` and `other` are addresses of the row for load, and of the item for
# finish; `out` and `extra` of the row.
SIGNATURE = types.void(*[types.int64] * 11)

scalar = _operators.bind(inline)


def stored_type(dtype):
    """The numba type of an array's elements in memory: float16 as its bits, bool as bytes."""
    dtype = np.dtype(dtype)
    if dtype == np.float16:
        return types.uint16
    if dtype == np.bool_:
        return types.uint8
    return getattr(types, dtype.name)


def reader(dtype, computed):
    """A function that turns a stored element of `dtype` into the numba type `computed`."""
    if np.dtype(dtype) == np.float16:
        return inline(lambda value: computed(scalar.from_half(value)))
    if np.dtype(dtype) == np.bool_:  # any byte but 0 is True, as NumPy has it
        return inline(lambda value: computed(value != 0))
    return inline(lambda value: computed(value))


def writer(dtype, computed):
    """A function that turns a value of the numba type `computed` into a stored element of `dtype`,
    rounded once.
    """
    dtype = np.dtype(dtype)
    stored = stored_type(dtype)
    if dtype == np.float16:
        return inline(lambda value: scalar.to_half(types.float64(value)))
    if dtype.kind in "iu" and isinstance(computed, types.Float):
        lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        return inline(lambda value: scalar.to_integer(value, lowest, highest, stored))
    return inline(lambda value: stored(value))


def make_load(dtype, computed, lifted=False):
    """Load: the elements of a row, as |x| ** p where `lifted`."""
    stored = stored_type(dtype)
    itemsize = stored.bitwidth // 8
    convert = reader(dtype, computed)
    if lifted:

        @inline
        def accumulator(value, p):
            return scalar.lift_lp(convert(value), p)

    else:

        @inline
        def accumulator(value, p):
            return convert(value)

    def load(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        p = plan.p
        target = array_at(line, columns * channels, computed)
        step = plan.source.column
        channel_step = plan.source.channel
        start = source + column * step
        dense = channels == 1 or channel_step == itemsize
        if dense and step == channels * itemsize:
            values = array_at(start, columns * channels, stored)
            for i in range(target.size):
                target[i] = accumulator(values[i], p)
        else:
            for w in range(columns):
                for c in range(channels):
                    value = read(start + w * step + c * channel_step, stored)
                    target[w * channels + c] = accumulator(value, p)

    return load


def make_load_gradient(dtype, other_dtype, computed):
    """Load of a backward pass: each gradient over its divisor, or times y ** (1 - p) if there is y.

    Where windows slide, columns are those of the forward input: gradients stand `line_spacing`
    apart between zeros.
    """
    stored = stored_type(dtype)
    convert = reader(dtype, computed)
    if other_dtype is None:

        @inline
        def contribution(plan, g, other, row_divisor, j):
            return g / computed(row_divisor * divisor_of(plan.column_window, j))

    else:
        other_stored = stored_type(other_dtype)
        convert_other = reader(other_dtype, computed)

        @inline
        def contribution(plan, g, other, row_divisor, j):
            y = convert_other(read(other, other_stored))
            return scalar.lift_lp_gradient(g, y, plan.p, plan.exponent, plan.correction)

    def load_gradient(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        target = array_at(line, columns * channels, computed)
        for i in range(target.size):
            target[i] = 0
        spacing = plan.line_spacing
        row_divisor = divisor_of_row(plan, depth, row)
        for j in range(-(-column // spacing), (column + columns - 1) // spacing + 1):
            at = (j * spacing - column) * channels
            for c in range(channels):
                g = convert(read(source + j * plan.source.column + c * plan.source.channel, stored))
                address = other + j * plan.other.column + c * plan.other.channel
                target[at + c] = contribution(plan, g, address, row_divisor, j)

    return load_gradient


def make_store(computed, dtype):
    """Store: results to a row of `out`, rounded to its dtype."""
    stored = stored_type(dtype)
    itemsize = stored.bitwidth // 8
    convert = writer(dtype, computed)

    def store(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        results = array_at(line, columns * channels, computed)
        step = plan.out.column
        channel_step = plan.out.channel
        start = out + column * step
        dense = channels == 1 or channel_step == itemsize
        if dense and step == channels * itemsize:
            target = array_at(start, columns * channels, stored)
            for i in range(results.size):
                target[i] = convert(results[i])
        else:
            for w in range(columns):
                for c in range(channels):
                    value = convert(results[w * channels + c])
                    write(start + w * step + c * channel_step, value)

    return store


def make_store_positions(dtype, offsets):
    """Store of arg-max: positions as they are, or as offsets in the window, to a row of `extra`."""
    stored = stored_type(dtype)
    nowhere = int(np.iinfo(dtype).max) if offsets else -1

    @inline
    def tap_offset(window, position, output):
        place = position // window.position_step % window.length
        tap = (place - output * window.stride + window.before) // window.dilation
        return tap * window.offset_step

    def store_positions(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        positions = array_at(line, columns * channels, types.int64)
        for w in range(columns):
            for c in range(channels):
                position = positions[w * channels + c]
                address = extra + (column + w) * plan.extra.column + c * plan.extra.channel
                if position == NO_POSITION:
                    write(address, stored(nowhere))
                elif offsets:
                    offset = tap_offset(plan.depth_window, position, depth)
                    offset += tap_offset(plan.row_window, position, row)
                    offset += tap_offset(plan.column_window, position, column + w)
                    write(address, stored(offset))
                else:
                    write(address, stored(position))

    return store_positions


def make_divide(computed):
    """Finish of an average: sums over divisors."""

    @inline
    def divide(results, first, last, divisor):
        part = piece(results, first, last - first)
        for i in range(part.size):
            part[i] = part[i] / divisor

    def finish_average(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        results = array_at(line, columns * channels, computed)
        row_divisor = divisor_of_row(plan, depth, row)
        # The columns that share one divisor, in one loop; then the others.
        first = min(max(plan.column_window.divided_first - column, 0), columns)
        last = max(min(plan.column_window.divided_last - column, columns), first)
        shared = computed(row_divisor * plan.column_window.divisor)
        divide(results, first * channels, last * channels, shared)
        for w in range(first):
            single = computed(row_divisor * divisor_of(plan.column_window, column + w))
            divide(results, w * channels, (w + 1) * channels, single)
        for w in range(last, columns):
            single = computed(row_divisor * divisor_of(plan.column_window, column + w))
            divide(results, w * channels, (w + 1) * channels, single)

    return finish_average
