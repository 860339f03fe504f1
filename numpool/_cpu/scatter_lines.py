"""Row functions of a scatter: lines of outputs loaded, boxes signed and stored."""

import math

from numba import types

from numpool._cpu.memory import array_at, inline, piece, read, write
from numpool._cpu.rows import reader, scalar, stored_type, writer
from numpool._cpu.scatter_plan import AXIS_TYPE, SCATTER_TYPE

LOAD = types.void(*[types.int64] * 9)
BOX = types.void(*[types.int64] * 8)


def make_load_line(dtype, convert):
    """A loop over a line of outputs of any strides to a dense line."""
    stored = stored_type(dtype)

    @inline
    def load_line(target, address, strides, items, depths, rows, columns, channels):
        if strides.dense:
            values = array_at(address, target.size, stored)
            for i in range(target.size):
                target[i] = convert(values[i])
            return
        i = 0
        for item in range(items):
            for d in range(depths):
                for h in range(rows):
                    start = address + item * strides.item + d * strides.depth + h * strides.row
                    for w in range(columns):
                        for c in range(channels):
                            at = start + w * strides.column + c * strides.channel
                            target[i] = convert(read(at, stored))
                            i += 1

    return load_line


def make_load(dtype, computed):
    """Load: gradients of `dtype` to a line of the numba type `computed`; those to be signed with no
    -0.0, which is what a place has that receives nothing.
    """
    load_line, zero = make_load_line(dtype, reader(dtype, computed)), computed(0)

    def load(plan_address, line, address, size, items, depths, rows, columns, channels):
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        target = array_at(line, size, computed)
        load_line(target, address, plan.gradient, items, depths, rows, columns, channels)
        if plan.sign:
            for i in range(size):
                target[i] += zero

    return load


@inline
def without_gaps(plan, axes, strides, itemsize, items, depths, rows, columns, channels):
    """(items, depths, rows, columns) as fewer and longer rows where these follow each other without
    a gap, in the box and in an operand; and whether such a row is one contiguous piece of both.
    """
    if axes[2].step != channels or (channels > 1 and strides.channel != itemsize):
        return False, items, depths, rows, columns
    if columns > 1 and strides.column != channels * itemsize:
        return False, items, depths, rows, columns
    size = columns * channels
    if rows == 1 or (axes[1].step == size and strides.row == size * itemsize):
        columns, size, rows = columns * rows, size * rows, types.int64(1)
        if depths == 1 or (axes[0].step == size and strides.depth == size * itemsize):
            columns, size, depths = columns * depths, size * depths, types.int64(1)
            if items == 1 or (plan.item_step == size and strides.item == size * itemsize):
                columns, items = columns * items, types.int64(1)
    return True, items, depths, rows, columns


def _make_over_box(stored, computed, strides_of, do_row, do_element):
    """A walk over the rows of a box of sums and over an operand: `do_row(sums, address)` where a
    row is one contiguous piece of both, else `do_element(sums, i, address)`.
    """
    itemsize, box_itemsize = stored.bitwidth // 8, computed.bitwidth // 8

    def over_box(plan_address, box, operand, items, depths, rows, columns, channels):
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        axes = array_at(plan.axes, 3, AXIS_TYPE)
        strides, step = strides_of(plan), axes[2].step
        dense, items, depths, rows, columns = without_gaps(
            plan, axes, strides, itemsize, items, depths, rows, columns, channels
        )
        for item in range(items):
            for d in range(depths):
                for h in range(rows):
                    start = item * plan.item_step + d * axes[0].step + h * axes[1].step
                    sums = array_at(
                        box + box_itemsize * start, (columns - 1) * step + channels, computed
                    )
                    row = operand + item * strides.item + d * strides.depth + h * strides.row
                    if dense:
                        do_row(sums, row)
                    else:
                        for w in range(columns):
                            block = piece(sums, w * step, channels)
                            at = row + w * strides.column
                            for c in range(channels):
                                do_element(block, c, at + c * strides.channel)

    return over_box


def make_sign(dtype, computed):
    """Sign: a box of sums gets the signs of x."""
    stored, convert = stored_type(dtype), reader(dtype, computed)
    zero = computed(0)

    @inline
    def signed(total, x):
        """What a place has received with the sign of x; 0 if that is nothing, NaN or not.

        x is always looked at: where it is loaded under a mask, the CPU does not see it coming, and
        the loop takes 4 times as long.
        """
        nothing = (total == 0) & (math.copysign(1, total) < 0)
        return zero if nothing & (x != x) else scalar.toward(total, x) + zero

    @inline
    def sign_row(sums, address):
        values = array_at(address, sums.size, stored)
        for i in range(sums.size):
            sums[i] = signed(sums[i], convert(values[i]))

    @inline
    def sign_element(sums, i, address):
        sums[i] = signed(sums[i], convert(read(address, stored)))

    return _make_over_box(stored, computed, inline(lambda plan: plan.x), sign_row, sign_element)


def make_store(computed, dtype):
    """Store: a box of sums to `out`, rounded to its dtype."""
    stored, convert = stored_type(dtype), writer(dtype, computed)

    @inline
    def store_row(sums, address):
        target = array_at(address, sums.size, stored)
        for i in range(sums.size):
            target[i] = convert(sums[i])

    @inline
    def store_element(sums, i, address):
        write(address, convert(sums[i]))

    return _make_over_box(stored, computed, inline(lambda plan: plan.out), store_row, store_element)
