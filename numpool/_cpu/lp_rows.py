"""The row functions that finish Lp, and the slow exact way for windows whose powers leave the range
of float64.
"""

import math

from numba import types

from numpool._cpu.memory import array_at, inline, read
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import reader, scalar, stored_type
from numpool._cpu.taps import taps_of


def make_finish_lp(dtype):
    """Finish of Lp: the root of each sum. A sum outside [low, high] is taken again, scaled by its
    largest tap.
    """
    stored = stored_type(dtype)
    convert = reader(dtype, types.float64)

    @inline
    def is_outside(plan, total):
        return (total < plan.low and total != 0.0) or total > plan.high

    @inline
    def magnitude(plan, source, d, r, w):
        address = source + d * plan.source.depth + r * plan.source.row + w * plan.source.column
        return abs(convert(read(address, stored)))

    @inline
    def norm_of_taps(plan, source, depths, rows, columns):
        first_depth, depth_count = depths
        first_row, row_count = rows
        first_column, column_count = columns
        largest = 0.0
        for d in range(depth_count):
            for r in range(row_count):
                for w in range(column_count):
                    a = magnitude(
                        plan,
                        source,
                        first_depth + d * plan.depth.step,
                        first_row + r * plan.row.step,
                        first_column + w * plan.column.step,
                    )
                    largest = scalar.larger(largest, a)
        if not 0.0 < largest < math.inf:
            return largest
        # Compensated, since it runs over the taps one by one.
        total = 0.0
        lost = 0.0
        for d in range(depth_count):
            for r in range(row_count):
                for w in range(column_count):
                    a = magnitude(
                        plan,
                        source,
                        first_depth + d * plan.depth.step,
                        first_row + r * plan.row.step,
                        first_column + w * plan.column.step,
                    )
                    term = scalar.ratio_power(a, largest, plan.p, 0.0) - lost
                    larger_total = total + term
                    lost = (larger_total - total) - term
                    total = larger_total
        return scalar.scaled_norm(largest, total, plan.p, plan.inverse, plan.correction, plan.scale)

    def finish_lp(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        results = array_at(line, columns * channels, types.float64)
        outside = 0
        for i in range(results.size):
            outside += is_outside(plan, results[i])
        if outside == 0:
            for i in range(results.size):
                results[i] = scalar.finish_lp(results[i], plan.p, plan.inverse, plan.correction)
            return
        depths, rows = taps_of(plan.depth, depth), taps_of(plan.row, row)
        for w in range(columns):
            taps = (depths, rows, taps_of(plan.column, column + w))
            for c in range(channels):
                total = results[w * channels + c]
                if is_outside(plan, total):
                    result = norm_of_taps(plan, source + c * plan.source.channel, *taps)
                else:
                    result = scalar.finish_lp(total, plan.p, plan.inverse, plan.correction)
                results[w * channels + c] = result

    return finish_lp


def make_finish_lp_gradient(dtype, y_dtype, x_dtype):
    """Finish of Lp's backward pass: the sum times sign(x) * |x| ** (p - 1), or tap by tap where
    that is NaN.
    """
    stored, convert = stored_type(dtype), reader(dtype, types.float64)
    y_stored, convert_y = stored_type(y_dtype), reader(y_dtype, types.float64)
    x_stored, convert_x = stored_type(x_dtype), reader(x_dtype, types.float64)

    @inline
    def tap_by_tap(plan, source, other, depths, rows, column, x):
        first_depth, depth_count = depths
        first_row, row_count = rows
        first_column, column_count = taps_of(plan.column, column)
        total = 0.0
        for d in range(depth_count):
            for r in range(row_count):
                for w in range(column_count):
                    od = first_depth + d * plan.depth.step
                    oh = first_row + r * plan.row.step
                    ow = first_column + w * plan.column.step
                    g_at = source + od * plan.source.depth + oh * plan.source.row
                    y_at = other + od * plan.other.depth + oh * plan.other.row
                    g = convert(read(g_at + ow * plan.source.column, stored))
                    y = convert_y(read(y_at + ow * plan.other.column, y_stored))
                    total += scalar.lp_gradient(g, x, y, plan.exponent, plan.correction, plan.scale)
        return total

    def finish_lp_gradient(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        results = array_at(line, columns * channels, types.float64)
        depths = taps_of(plan.depth, depth)
        rows = taps_of(plan.row, row)
        for w in range(columns):
            for c in range(channels):
                address = extra + (column + w) * plan.extra.column + c * plan.extra.channel
                x = convert_x(read(address, x_stored))
                result = scalar.finish_lp_gradient(
                    results[w * channels + c], x, plan.p, plan.exponent, plan.correction
                )
                if result != result:
                    result = tap_by_tap(
                        plan,
                        source + c * plan.source.channel,
                        other + c * plan.other.channel,
                        depths,
                        rows,
                        column + w,
                        x,
                    )
                results[w * channels + c] = result

    return finish_lp_gradient
