"""Row functions: what is done to rows on their way into the engine and out of it.

They are compiled one by one and reached by address from the walk, so that a new pair of types costs
half a second of compiling and no further copy of an engine. Each is made by a function below and
has the one signature `SIGNATURE`:

load      from source rows, of any type and strides, to lines of accumulators
store     from lines of accumulators to results in rows of `out`, and indices in rows of `extra`
"""

import numpy as np
from numba import types

from numpool import _operators
from numpool._cpu import halves, target
from numpool._cpu.memory import (
    ONE,
    array_at,
    call,
    fetch_ahead,
    fused,
    inline,
    piece,
    read,
    stack_bytes,
    write,
)
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.strided import from_swapped
from numpool._cpu.taps import divisor_of, divisor_of_row

# (plan, line, pitch, step, source, other, out, extra, depth, row, rows, column, columns, channels,
# distance). Line r of `rows` lies `pitch` accumulators behind the one before. `source` to `extra`
# are addresses of the item. Rows are `step` apart. `distance` is that of the codes of pairs.
SIGNATURE = types.void(*[types.int64] * 15)

scalar = _operators.bind(fused)

# Elements that are taken from rows at a time, where they cannot be read as they lie.
_TAKEN = 256


def stored_type(dtype):
    """The numba type of an array's elements in memory: float16 as its bits, bool as bytes."""
    dtype = np.dtype(dtype)
    if dtype == np.float16:
        return types.uint16
    if dtype == np.bool_:
        return types.uint8
    return getattr(types, dtype.name)


def lowest_of(dtype):
    """The lowest element of a dtype, as it is stored: what a maximum of nothing is."""
    dtype = np.dtype(dtype)
    if dtype == np.float16:
        return halves.LOWEST
    if dtype.kind == "f":
        return -np.inf
    return 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)


def reader(dtype, computed):
    """A function that turns a stored element of `dtype` into the numba type `computed`."""
    if np.dtype(dtype) == np.float16 and isinstance(computed, types.Float):
        single_of = halves.single_of if target.has_conversions() else scalar.from_half
        return inline(lambda value: computed(single_of(value)))
    if np.dtype(dtype) == np.bool_:  # any byte but 0 is True, as NumPy has it
        return inline(lambda value: computed(value != 0))
    return inline(lambda value: computed(value))


def writer(dtype, computed):
    """A function that turns a value of the numba type `computed` into a stored element of `dtype`,
    rounded once.
    """
    dtype = np.dtype(dtype)
    stored = stored_type(dtype)
    if dtype == np.float16 and isinstance(computed, types.Float):
        if computed == types.float32 and target.has_conversions():
            return inline(lambda value: halves.half_of(value))
        return inline(lambda value: scalar.to_half(types.float64(value)))
    if dtype.kind in "iu" and isinstance(computed, types.Float):
        lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if dtype.itemsize <= 4:
            least, most = computed(lowest), computed(highest)
            return inline(lambda value: scalar.to_small_integer(value, least, most, stored))
        return inline(lambda value: scalar.to_integer(value, lowest, highest, stored))
    if dtype.kind in "iu" and computed.bitwidth > stored.bitwidth:
        # Wider than the values need: only what stands for no data is below the lowest of them.
        least = int(np.iinfo(dtype).min)
        return inline(lambda value: stored(value if value > least else least))
    return inline(lambda value: stored(value))


def smallest_of(computed):
    """The smallest number above 0 of a numba type."""
    dtype = np.dtype(computed.name)
    return computed(np.finfo(dtype).smallest_subnormal if dtype.kind == "f" else 1)


def lifter(dtype, computed, form):
    """A function that turns a stored element of `dtype` into an accumulator: by the `form` of a
    power that needs no exponent, if any.
    """
    convert = reader(dtype, computed)
    if form is None:
        return convert
    raised = getattr(scalar, form)
    smallest = smallest_of(computed)

    @inline
    def lift(value):
        magnitude = abs(convert(value))
        return scalar.lift_lp(magnitude, raised(magnitude, 0.0, 0.0), smallest)

    return lift


@inline
def is_dense(strides, channels, itemsize):
    """Whether a row of an operand is one contiguous piece."""
    return (channels == 1 or strides.channel == itemsize) and (
        strides.column == channels * itemsize
    )


def make_load(dtype, computed, form=None):
    """Load: the elements of rows, as |x| ** p where the `form` of the power is named."""
    convert = reader(dtype, computed)
    if form is not None:
        raised = getattr(scalar, form)
        smallest = smallest_of(computed)

        @inline
        def accumulator(value, p):
            magnitude = abs(convert(value))
            return scalar.lift_lp(magnitude, raised(magnitude, p, 0.0), smallest)

    else:

        @inline
        def accumulator(value, p):
            return convert(value)

    stored = stored_type(dtype)
    as_it_is = form is None and stored == computed and np.dtype(dtype) != np.bool_
    return load_of(stored, computed, accumulator, as_it_is)


def load_of(stored, computed, accumulator, as_it_is=False):
    """Load: of each element of rows its `accumulator(element, p)`, which may be the element."""
    itemsize = stored.bitwidth // 8
    line_itemsize = computed.bitwidth // 8
    taken_bytes = _TAKEN * itemsize

    def load(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        p, taken = plan.p, stack_bytes(taken_bytes)
        along, across = plan.source.column, plan.source.channel
        dense = is_dense(plan.source, channels, itemsize)
        # Rows in pieces of elements that are so far apart.
        pieces, size, apart = columns, channels, across
        if dense or channels == 1:
            pieces, size, apart = ONE, columns * channels, itemsize if dense else along
        start = source + depth * plan.source.depth + row * plan.source.row + column * along
        for r in range(rows):
            target = array_at(line + r * pitch * line_itemsize, columns * channels, computed)
            first = start + r * step * plan.source.row
            fetch_ahead(first, step * plan.source.row)
            if plan.take and as_it_is:
                for w in range(pieces):
                    to = line + (r * pitch + w * size) * line_itemsize
                    call(plan.take, (first + w * along, apart, size, to))
            elif plan.take:
                for w in range(pieces):
                    for i in range(0, size, _TAKEN):
                        values = array_at(taken, min(_TAKEN, size - i), stored)
                        call(plan.take, (first + w * along + i * apart, apart, values.size, taken))
                        part = piece(target, w * size + i, values.size)
                        for j in range(part.size):
                            part[j] = accumulator(values[j], p)
            elif dense:
                values = array_at(first, columns * channels, stored)
                for i in range(target.size):
                    target[i] = accumulator(values[i], p)
            else:
                for w in range(columns):
                    for c in range(channels):
                        value = read(first + w * along + c * across, stored)
                        target[w * channels + c] = accumulator(value, p)

    return load


@inline
def equally_divided(window, column, columns):
    """Which of the columns share one divisor."""
    first = min(max(window.divided_first - column, 0), columns)
    return first, max(min(window.divided_last - column, columns), first)


@inline
def columns_of_divisor(window, column, first, last, number):
    """Some columns with one divisor, and their share in it: those in [first, last) for a number of
    -1, then the others one by one.
    """
    if number < 0:
        return first, last, window.divisor
    low = number if number < first else last + number - first
    return low, low + 1, divisor_of(window, column + low)


def make_load_gradient(dtype, computed, swapped):
    """Load of average's backward pass: each gradient over its divisor. `swapped`: gradients have
    their bytes in the other order.
    """
    stored = stored_type(dtype)
    itemsize = stored.bitwidth // 8
    line_itemsize = computed.bitwidth // 8
    number = value_of = reader(dtype, computed)
    if swapped:
        # In registers: taken row by row before, it takes as long as a copy of all of them.
        native = from_swapped(stored)
        stored = getattr(types, f"uint{stored.bitwidth}")
        value_of = inline(lambda bits: number(native(bits)))

    @inline
    def load_columns(plan, line, source, first, last, channels, divisor):
        along, across = plan.source.column, plan.source.channel
        by = computed(divisor)
        if is_dense(plan.source, channels, itemsize):
            size = (last - first) * channels
            target = array_at(line + first * channels * line_itemsize, size, computed)
            values = array_at(source + first * along, size, stored)
            for i in range(target.size):
                target[i] = value_of(values[i]) / by
        else:
            for w in range(first, last):
                for c in range(channels):
                    value = value_of(read(source + w * along + c * across, stored))
                    write(line + (w * channels + c) * line_itemsize, value / by)

    def load_gradient(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        window = plan.column_window
        first, last = equally_divided(window, column, columns)
        start = source + depth * plan.source.depth + column * plan.source.column
        for r in range(rows):
            target = line + r * pitch * line_itemsize
            this = row + r * step
            values = start + this * plan.source.row
            fetch_ahead(values, step * plan.source.row)
            row_divisor = divisor_of_row(plan, depth, this)
            for number in range(-1, first + columns - last):
                low, high, divisor = columns_of_divisor(window, column, first, last, number)
                load_columns(plan, target, values, low, high, channels, row_divisor * divisor)

    return load_gradient


def make_store(computed, dtype, quotient=None):
    """Store: values to rows of `out`, rounded to its dtype. With the numba type `quotient` they are
    divided first, in that type; the average of zeros is 0.0, whatever their signs.
    """
    convert = writer(dtype, computed if quotient is None else quotient)
    if quotient is None:
        result_of = inline(lambda value, divisor, p, lost: convert(value))
    else:
        result_of = inline(
            lambda value, divisor, p, lost: convert(
                (quotient(value) + quotient(0.0)) / quotient(divisor)
            )
        )
    return store_of(computed, stored_type(dtype), result_of, average=quotient is not None)


def store_of(computed, stored, result_of, average):
    """Store: of each accumulator its `result_of(value, divisor, p, lost)`: the divisor of an
    average, the exponent of a root in two parts.
    """
    itemsize = stored.bitwidth // 8
    line_itemsize = computed.bitwidth // 8

    @inline
    def store_columns(plan, line, out, first, last, channels, divisor):
        p, lost = plan.inverse, plan.correction
        along, across = plan.out.column, plan.out.channel
        if is_dense(plan.out, channels, itemsize):
            size = (last - first) * channels
            values = array_at(line + first * channels * line_itemsize, size, computed)
            target = array_at(out + first * along, size, stored)
            for i in range(target.size):
                target[i] = result_of(values[i], divisor, p, lost)
        else:
            for w in range(first, last):
                for c in range(channels):
                    value = read(line + (w * channels + c) * line_itemsize, computed)
                    write(out + w * along + c * across, result_of(value, divisor, p, lost))

    def store(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        window = plan.column_window
        first, last = 0, columns
        behind = pitch == columns * channels and step * plan.out.row == columns * plan.out.column
        if average:
            first, last = equally_divided(window, column, columns)
            rows_of = plan.row_window
            behind &= rows_of.divided_first <= row
            behind &= row + (rows - 1) * step < rows_of.divided_last
        if behind and first == 0 and last == columns:
            # Rows that lie one behind the other and share it are one: 1.5 times on planes 8 x 8.
            columns, last, rows = columns * rows, columns * rows, 1
        start = out + depth * plan.out.depth + row * plan.out.row + column * plan.out.column
        for r in range(rows):
            values = line + r * pitch * line_itemsize
            target = start + r * step * plan.out.row
            row_divisor = 1.0
            if average:
                row_divisor = divisor_of_row(plan, depth, row + r * step)
            for number in range(-1, first + columns - last):
                low, high, divisor = columns_of_divisor(window, column, first, last, number)
                store_columns(plan, values, target, low, high, channels, row_divisor * divisor)

    return store
