"""Stores that look at single taps again, where what windows were combined to tells too little."""

from numba import types

from numpool._cpu import rows
from numpool._cpu.memory import ONE, array_at, call, inline, read, stack_bytes, write
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import reader, stored_type, writer
from numpool._cpu.taps import taps_of


def make_tap(dtype, computed):
    """A function that reads a tap in the computed type: of the plan, the address of the window's
    first tap, this one's number along depth, rows and columns, and memory to take it to.
    """
    stored, convert = stored_type(dtype), reader(dtype, computed)
    itemsize = stored.bitwidth // 8

    @inline
    def tap(plan, source, d, r, w, taken):
        address = source + (plan.depth.dilation * d) * plan.source.depth
        address += (plan.row.dilation * r) * plan.source.row
        address += (plan.column.dilation * w) * plan.source.column
        if plan.take:
            call(plan.take, (address, itemsize, ONE, taken))
            address = taken
        return convert(read(address, stored))

    return tap


def make_store(store, dtype, computed, is_outside, again):
    """The `store` of accumulators, and then of those that `is_outside(plan, accumulator)` another
    result: `again(plan, source, depth_taps, row_taps, column_taps, taken)`, of the address of the
    first tap, the numbers of taps, and memory to take one to.
    """
    itemsize, source_itemsize = computed.bitwidth // 8, stored_type(dtype).bitwidth // 8

    def store_and_look(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        store(
            plan_address, line, pitch, step, source, other, out, extra,
            depth, row, rows, column, columns, channels, distance,
        )  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        size, taken = columns * channels, stack_bytes(source_itemsize)
        for r in range(rows):
            totals = array_at(line + r * pitch * itemsize, size, computed)
            outside = types.int32(0)
            for i in range(totals.size):
                outside = types.int32(outside + types.int32(is_outside(plan, totals[i])))
            if outside == 0:
                continue
            this = row + r * step
            target = out + depth * plan.out.depth + this * plan.out.row
            depth_taps, row_taps = taps_of(plan.depth, depth), taps_of(plan.row, this)
            first = source + depth_taps[0] * plan.source.depth + row_taps[0] * plan.source.row
            for w in range(columns):
                column_taps = taps_of(plan.column, column + w)
                for c in range(channels):
                    if is_outside(plan, totals[w * channels + c]):
                        start = first + column_taps[0] * plan.source.column
                        start += c * plan.source.channel
                        result = again(
                            plan, start, depth_taps[1], row_taps[1], column_taps[1], taken
                        )
                        place = (column + w) * plan.out.column + c * plan.out.channel
                        write(target + place, result)

    return store_and_look


def make_store_divided(dtype, out_dtype, computed):
    """Store of average's backward pass by one divisor: each sum of gradients over it, or of the
    gradients over it where that sum is not finite.
    """
    written, tap = writer(out_dtype, computed), make_tap(dtype, computed)

    @inline
    def is_outside(plan, total):
        nothing = total - total
        return nothing != nothing

    @inline
    def sum_of_quotients(plan, source, depth_taps, row_taps, column_taps, taken):
        by, total = computed(plan.column_window.divisor), computed(0.0)
        for d in range(depth_taps):
            for r in range(row_taps):
                for w in range(column_taps):
                    total += tap(plan, source, d, r, w, taken) / by
        return written(total)

    store = inline(rows.make_store(computed, out_dtype, computed))
    return make_store(store, dtype, computed, is_outside, sum_of_quotients)
