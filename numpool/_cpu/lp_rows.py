"""The row functions of Lp that take roots or have a gradient, and the slow exact way for windows
whose powers leave the range of float64.
"""

import math

from numba import types

from numpool._cpu import second_look
from numpool._cpu.memory import (
    array_at,
    fetch_ahead,
    inline,
    read,
    write,
)
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import is_dense, reader, scalar, store_of, stored_type, writer
from numpool._cpu.taps import place_of, taps_of


def make_store_root(dtype, out_dtype, computed, form):
    """Store of Lp: the root of each sum, by the `form` of a power. A norm whose sum is outside
    [low, high] is taken again, scaled by its largest tap.
    """
    raised = getattr(scalar, form)
    written, tap = writer(out_dtype, computed), second_look.make_tap(dtype, types.float64)

    @inline
    def root_of(total, divisor, inverse, correction):
        return written(scalar.finish_lp(raised(total, inverse, correction)))

    store = inline(store_of(computed, stored_type(out_dtype), root_of, average=False))

    @inline
    def is_outside(plan, total):
        outside = (total < computed(plan.low)) & (total != computed(0.0))
        return outside | (total > computed(plan.high))

    @inline
    def norm_of_taps(plan, source, depth_taps, row_taps, column_taps, taken):
        largest = 0.0
        for d in range(depth_taps):
            for r in range(row_taps):
                for w in range(column_taps):
                    a = abs(tap(plan, source, d, r, w, taken))
                    largest = scalar.larger(largest, a)
        if not 0.0 < largest < math.inf:
            return written(largest)
        # Compensated, since it runs over the taps one by one.
        total = 0.0
        lost = 0.0
        for d in range(depth_taps):
            for r in range(row_taps):
                for w in range(column_taps):
                    a = abs(tap(plan, source, d, r, w, taken))
                    term = scalar.ratio_power(a, largest, plan.p, 0.0) - lost
                    larger_total = total + term
                    lost = (larger_total - total) - term
                    total = larger_total
        root = raised(total, plan.inverse, plan.correction)
        norm = scalar.scaled_norm(largest, total, root, plan.inverse, plan.correction, plan.scale)
        return written(norm)

    return second_look.make_store(store, dtype, computed, is_outside, norm_of_taps)


def make_load_root_gradient(dtype, y_dtype, form):
    """Load of Lp's backward pass: each gradient over y ** (p - 1), by the `form` of a power."""
    stored, convert = stored_type(dtype), reader(dtype, types.float64)
    y_stored, convert_y = stored_type(y_dtype), reader(y_dtype, types.float64)
    itemsize, y_itemsize = stored.bitwidth // 8, y_stored.bitwidth // 8
    raised = getattr(scalar, form)

    @inline
    def contribution(g, y, exponent, correction):
        factor = raised(y, exponent, correction)
        return scalar.lift_lp_gradient(g, y, factor, exponent)

    def load_root_gradient(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        exponent, correction = plan.exponent, plan.correction
        along, across = plan.source.column, plan.source.channel
        y_along, y_across = plan.other.column, plan.other.channel
        dense = is_dense(plan.source, channels, itemsize)
        dense = dense and is_dense(plan.other, channels, y_itemsize)
        start = source + depth * plan.source.depth + column * along
        y_start = other + depth * plan.other.depth + column * y_along
        for r in range(rows):
            values = array_at(line + r * pitch * 8, columns * channels, types.float64)
            g_row = start + (row + r * step) * plan.source.row
            y_row = y_start + (row + r * step) * plan.other.row
            fetch_ahead(g_row, step * plan.source.row)
            fetch_ahead(y_row, step * plan.other.row)
            if dense:
                g = array_at(g_row, columns * channels, stored)
                y = array_at(y_row, columns * channels, y_stored)
                for i in range(values.size):
                    values[i] = contribution(convert(g[i]), convert_y(y[i]), exponent, correction)
            else:
                for w in range(columns):
                    for c in range(channels):
                        g_one = convert(read(g_row + w * along + c * across, stored))
                        y_one = convert_y(read(y_row + w * y_along + c * y_across, y_stored))
                        values[w * channels + c] = contribution(g_one, y_one, exponent, correction)

    return load_root_gradient


def make_store_root_gradient(dtype, y_dtype, x_dtype, form):
    """Store of Lp's backward pass: the sum times sign(x) * |x| ** (p - 1), by the `form` of a
    power, or tap by tap where that is NaN.
    """
    raised = getattr(scalar, form)
    stored, convert = stored_type(dtype), reader(dtype, types.float64)
    y_stored, convert_y = stored_type(y_dtype), reader(y_dtype, types.float64)
    x_stored, convert_x = stored_type(x_dtype), reader(x_dtype, types.float64)
    x_itemsize = x_stored.bitwidth // 8
    convert_out = writer(x_dtype, types.float64)

    @inline
    def gradient(total, x, exponent, correction):
        factor = raised(abs(x), exponent, correction)
        return scalar.finish_lp_gradient(total, x, factor, exponent)

    @inline
    def tap_by_tap(plan, source, other, depths, rows, column, x):
        first_depth, depth_count = depths
        first_row, row_count = rows
        first_column, column_count = taps_of(plan.column, place_of(plan.column, column))
        total = 0.0
        for d in range(depth_count):
            for r in range(row_count):
                for w in range(column_count):
                    od = first_depth + d * plan.depth.dilation
                    oh = first_row + r * plan.row.dilation
                    ow = first_column + w * plan.column.dilation
                    g_at = source + od * plan.source.depth + oh * plan.source.row
                    y_at = other + od * plan.other.depth + oh * plan.other.row
                    g = convert(read(g_at + ow * plan.source.column, stored))
                    y = convert_y(read(y_at + ow * plan.other.column, y_stored))
                    total += scalar.lp_gradient(g, x, y, plan.exponent, plan.correction, plan.scale)
        return total

    def store_root_gradient(
        plan_address, line, pitch, step, source, other, out, extra,
        depth, row, rows, column, columns, channels, distance,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        depths = taps_of(plan.depth, place_of(plan.depth, depth))
        exponent, correction = plan.exponent, plan.correction
        along, across = plan.extra.column, plan.extra.channel
        out_along, out_across = plan.out.column, plan.out.channel
        dense = is_dense(plan.extra, channels, x_itemsize)
        dense = dense and is_dense(plan.out, channels, x_itemsize)
        size = columns * channels
        for r in range(rows):
            this = row + r * step
            totals = array_at(line + r * pitch * 8, size, types.float64)
            x_row = extra + depth * plan.extra.depth + this * plan.extra.row + column * along
            out_row = out + depth * plan.out.depth + this * plan.out.row + column * out_along
            fetch_ahead(x_row, step * plan.extra.row)
            unsafe = 0
            if dense:
                values = array_at(x_row, size, x_stored)
                target = array_at(out_row, size, x_stored)
                for i in range(target.size):
                    result = gradient(totals[i], convert_x(values[i]), exponent, correction)
                    unsafe += result != result
                    target[i] = convert_out(result)
            else:
                unsafe = 1
            if unsafe == 0:
                continue
            rows_of = taps_of(plan.row, place_of(plan.row, this))
            for w in range(columns):
                for c in range(channels):
                    x = convert_x(read(x_row + w * along + c * across, x_stored))
                    result = gradient(totals[w * channels + c], x, exponent, correction)
                    if result != result:
                        start = source + c * plan.source.channel
                        other_start = other + c * plan.other.channel
                        result = tap_by_tap(
                            plan, start, other_start, depths, rows_of, column + w, x
                        )
                    write(out_row + w * out_along + c * out_across, convert_out(result))

    return store_root_gradient
