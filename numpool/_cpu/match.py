"""The backward pass of max where windows overlap: each input takes the gradients of the windows
around it whose index names it.

Windows of some neighbouring inputs are compared as vectors, and their gradients added in registers:
0.4 to 0.9 of the time of scattering them (scatter.py), where each is located, and the same places
are loaded and stored over and over. Gradients of an input are added in the C order of their
windows, as they are there.

Indices are checked on the way: one that is right is matched by one input, any other by none. It is
for the caller to compare how many are.
"""

import contextlib
import functools
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu import masked
from numpool._cpu.loops import itemsize_of
from numpool._cpu.masked import lanes_within
from numpool._cpu.memory import array_at, call_walk, function, inline, write
from numpool._cpu.rows import stored_type
from numpool._cpu.scatter_plan import AXIS_TYPE, SCATTER_TYPE
from numpool._cpu.target import has_wide_vectors
from numpool._cpu.tiles import item_addresses
from numpool._cpu.vector_loops import (
    VECTOR_BYTES,
    call_named,
    number,
    pointer,
    smaller,
    splat,
    suffix_of,
    vector_of,
)


class _Numbers(NamedTuple):
    """What a kernel is told: how many rows of inputs, and of how many columns; addresses of the
    gradient and index of the first window that the first input may belong to, and of the first
    result, 0 if there is none, each with the bytes to that of the next row; how many windows are in
    a row, how far the first starts before the first input, how many an input belongs to, columns
    from one to the next; the same along depth and rows, with bytes from one to the next in
    gradients and in indices; the index by which the first window names the first input, what it is
    more at the next row and column of inputs, and less at the next window along depth, rows and
    columns.
    """

    count: Any
    columns: Any
    gradient: Any
    gradient_pitch: Any
    indices: Any
    indices_pitch: Any
    result: Any
    result_pitch: Any
    windows: Any
    before: Any
    taps: Any
    dilation: Any
    depths: Any
    gradient_depth: Any
    indices_depth: Any
    rows: Any
    gradient_row: Any
    indices_row: Any
    name: Any
    name_pitch: Any
    name_column: Any
    less_depth: Any
    less_row: Any
    less_tap: Any


# Vectors of inputs that are worked on together, and of those with one window along the columns.
_TOGETHER, _TOGETHER_BY_ONE = 2, 4
# Numbers of windows along the columns for which loops are unrolled.
UNROLLED = (1, 3, 5)

_KIND = types.UniTuple(types.int64, len(_Numbers._fields))
# The numbers above. Returns how many windows are matched.
SIGNATURE = types.int64(*_KIND)


@contextlib.contextmanager
def _while(builder, condition):
    """The code of a loop as long as there is the `condition()`."""
    head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    builder.cbranch(condition(), body, done)
    builder.position_at_end(body)
    yield
    builder.branch(head)
    builder.position_at_end(done)


def _sum_of_lanes(builder, values):
    """The sum of a vector of integers, in 64 bits."""
    kind = suffix_of(values.type)
    total = call_named(builder, f"llvm.vector.reduce.add.{kind}", values.type.element, values)
    return builder.zext(total, ir.IntType(64))


def make_match(indices, gradient, taps):
    """The kernel for rows of inputs that belong to so many windows each along the columns, as many
    as it is told for 0; for NumPy dtypes by their names.
    """
    stored, computed = stored_type(indices), stored_type(gradient)
    # What is kept of wider ones fits no 16 registers: rows of 56 take 0.7 of the time so.
    size = VECTOR_BYTES if has_wide_vectors() else VECTOR_BYTES // 2
    lanes = size // itemsize_of(computed)
    sums, names = vector_of(computed, lanes), vector_of(stored, lanes)
    wide, counts = (ir.VectorType(ir.IntType(bits), lanes) for bits in (64, 32))
    together = _TOGETHER_BY_ONE if taps == 1 else _TOGETHER
    are_positions = stored.signed

    def write_rows(builder, n):
        matched = cgutils.alloca_once_value(builder, ir.Constant(counts, None))
        totals = [cgutils.alloca_once(builder, sums) for _ in range(together)]

        def sum_of(*values):
            return functools.reduce(builder.add, values)

        def load(dtype, start, column, within):
            """The lanes `within` of a vector of a row, or all, from a column on."""
            at = pointer(builder, start, column, dtype, lanes)
            return masked.load(builder, at, itemsize_of(dtype), within)

        def moved(start, *steps):
            return sum_of(start, *(builder.mul(*step) for step in steps))

        def named(value, column):
            """The names of inputs: positions grow along the row, an offset is the same."""
            if not are_positions:
                return splat(builder, builder.trunc(value, names.element), names)
            lane = builder.mul(
                ir.Constant(wide, list(range(lanes))), splat(builder, n.name_column, wide)
            )
            value = moved(value, (column, n.name_column))
            value = builder.add(splat(builder, value, wide), lane)
            return value if names.element == wide.element else builder.trunc(value, names)

        def each_tap(code):
            if taps:
                for tap in range(taps):
                    code(number(tap))
                return
            with cgutils.for_range(builder, n.taps) as tap:
                code(tap.index)

        def block(row, place, count, are_whole):
            """So many vectors of inputs, of which some lanes have no windows if not `are_whole`."""
            places = [sum_of(place, number(i * lanes)) for i in range(count)]
            name = moved(n.name, (row, n.name_pitch))
            positions = [named(name, place) if are_positions else None for place in places]
            for total in totals[:count]:
                builder.store(ir.Constant(sums, None), total)

            def take(place, total, column, starts, wanted):
                """Add the gradients of windows from a column on that name the inputs `wanted`."""
                within = None
                if not are_whole:
                    ends = builder.sub(n.windows, column), builder.sub(n.columns, place)
                    within = builder.neg(column), smaller(builder, *ends)
                gradients, indices = starts
                found = load(stored, indices, column, within)
                right = builder.icmp_signed("==", found, wanted)
                if within is not None:
                    inside = lanes_within(builder, *within, found.type)
                    right = builder.and_(right, inside)
                kept = builder.load(total)
                more = load(computed, gradients, column, within)
                builder.store(builder.select(right, builder.fadd(kept, more), kept), total)
                kept = builder.load(matched)
                more = builder.add(kept, ir.Constant(counts, [1] * lanes))
                builder.store(builder.select(right, more, kept), matched)

            with (
                cgutils.for_range(builder, n.depths) as window_depth,
                cgutils.for_range(builder, n.rows) as window_row,
            ):
                depth, along = window_depth.index, window_row.index
                starts = (
                    moved(
                        n.gradient, (row, n.gradient_pitch), (depth, n.gradient_depth),
                        (along, n.gradient_row),
                    ),
                    moved(
                        n.indices, (row, n.indices_pitch), (depth, n.indices_depth),
                        (along, n.indices_row),
                    ),
                )  # fmt: skip
                less = moved(number(0), (depth, n.less_depth), (along, n.less_row))

                def every_vector(tap):
                    offset = None
                    if not are_positions:
                        offset = named(builder.sub(name, moved(less, (tap, n.less_tap))), None)
                    for place, total, position in zip(places, totals, positions, strict=False):
                        column = moved(builder.sub(place, n.before), (tap, n.dilation))
                        take(place, total, column, starts, offset or position)

                each_tap(every_vector)
            with builder.if_then(builder.icmp_signed("!=", n.result, number(0))):
                to = moved(n.result, (row, n.result_pitch))
                for place, total in zip(places, totals, strict=False):
                    at = pointer(builder, to, place, computed, lanes)
                    values, align = builder.load(total), itemsize_of(computed)
                    if are_whole:
                        builder.store(values, at, align=align)
                    else:
                        left = builder.sub(n.columns, place)
                        masked.store_first(builder, values, at, align, left)

        def one_row(row):
            at = cgutils.alloca_once(builder, ir.IntType(64))
            builder.store(number(0), at)
            reach = builder.mul(builder.sub(n.taps, number(1)), n.dilation)
            size = number(together * lanes)
            with _while(builder, lambda: builder.icmp_signed("<", builder.load(at), n.columns)):
                place = builder.load(at)
                first, end = builder.sub(place, n.before), builder.add(place, size)
                are_there = (
                    builder.icmp_signed(">=", first, number(0)),
                    builder.icmp_signed("<=", sum_of(first, reach, size), n.windows),
                    builder.icmp_signed("<=", end, n.columns),
                )
                are_whole = functools.reduce(builder.and_, are_there)
                with builder.if_else(are_whole) as (whole, part):
                    with whole:
                        block(row, place, together, True)
                        builder.store(end, at)
                    with part:
                        block(row, place, 1, False)
                        builder.store(builder.add(place, number(lanes)), at)

        with cgutils.for_range(builder, n.count) as row:
            one_row(row.index)
        return _sum_of_lanes(builder, builder.load(matched))

    @intrinsic
    def match_rows(typing_context, numbers):
        def codegen(context, builder, signature, args):
            return write_rows(builder, _Numbers(*cgutils.unpack_tuple(builder, args[0])))

        return types.int64(_KIND), codegen

    def match(
        count, columns, gradient, gradient_pitch, indices, indices_pitch, result, result_pitch,
        windows, before, taps, dilation, depths, gradient_depth, indices_depth, rows, gradient_row,
        indices_row, name, name_pitch, name_column, less_depth, less_row, less_tap,
    ):  # fmt: skip
        return match_rows(
            (
                count, columns, gradient, gradient_pitch, indices, indices_pitch, result,
                result_pitch, windows, before, taps, dilation, depths, gradient_depth,
                indices_depth, rows, gradient_row, indices_row, name, name_pitch, name_column,
                less_depth, less_row, less_tap,
            )
        )  # fmt: skip

    return match


@inline
def windows_at(axis, place):
    """(first, count, step, tap, less) of the windows of an axis that an input belongs to: windows
    from one to the next, which tap of the first it is, and how many before that of the next.

    One of stride and dilation is 1.
    """
    at = place + axis.before
    if axis.dilation == 1:
        first = max(-((axis.kernel - 1 - at) // axis.stride), 0)
        last = min(at // axis.stride, axis.outputs - 1)
        return first, max(last - first + 1, 0), 1, at - first * axis.stride, axis.stride
    tap = min(at // axis.dilation, axis.kernel - 1)
    lowest = max(-((axis.outputs - 1 - at) // axis.dilation), 0)
    return at - tap * axis.dilation, max(tap - lowest + 1, 0), axis.dilation, tap, 1


@function
def walk_matches(
    plan_address, gradient_start, indices_start, out_start, found, first_task, last_task
):  # fmt: skip
    """Gradients to all inputs, without `out` none; at `found`, for each task how many windows are
    matched.
    """
    plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
    axes = array_at(plan.axes, 3, AXIS_TYPE)
    along_depth, along_rows, along_columns = axes[0], axes[1], axes[2]
    reach = (along_columns.kernel - 1) * along_columns.dilation
    for task in range(first_task, last_task):
        rest, tile = divmod(task, along_columns.boxes)
        rest, band = divmod(rest, along_rows.boxes)
        item, depth = divmod(rest, along_depth.boxes)
        gradient, indices, out, _ = item_addresses(
            plan, item, gradient_start, indices_start, out_start, 0
        )
        depths = windows_at(along_depth, depth)
        gradient += depths[0] * plan.gradient.depth
        indices += depths[0] * plan.indices.depth
        first = tile * along_columns.box
        columns = min(along_columns.box, along_columns.length - first)
        out += depth * plan.out.depth + first * plan.out.column
        matched = 0
        row = band * along_rows.box
        last_row = min(row + along_rows.box, along_rows.length)
        while row < last_row:
            # Rows that belong to as many windows go together.
            count = max(min(along_rows.regular_last, last_row) - row, 1)
            count = count if row >= along_rows.regular_first else 1
            rows = windows_at(along_rows, row)
            name = depth * along_depth.position_step + row * along_rows.position_step
            name += depths[3] * along_depth.tap_step + rows[3] * along_rows.tap_step
            name += first * along_columns.position_step
            name += (along_columns.kernel - 1) * along_columns.tap_step
            matched += call_walk(
                plan.add, (count, columns,
                gradient + rows[0] * plan.gradient.row, plan.gradient.row,
                indices + rows[0] * plan.indices.row, plan.indices.row,
                out + row * plan.out.row if out_start else 0, plan.out.row,
                along_columns.outputs, reach - along_columns.before - first,
                along_columns.kernel, along_columns.dilation,
                depths[1], depths[2] * plan.gradient.depth, depths[2] * plan.indices.depth,
                rows[1], rows[2] * plan.gradient.row, rows[2] * plan.indices.row,
                name, along_rows.position_step, along_columns.position_step,
                depths[4] * along_depth.tap_step, rows[4] * along_rows.tap_step,
                along_columns.tap_step))  # fmt: skip
            row += count
        write(found + 8 * task, matched)
    return last_task - first_task
