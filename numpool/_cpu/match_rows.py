"""Rows of inputs, each of which takes the gradients of the windows around it that name it, as
vectors: see match.py.

Where windows start `stride` columns apart, as many neighbouring inputs belong to windows of the
same columns: a vector of windows has a vector of each of them, and these are interleaved.
"""

import functools
import itertools
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu import masked
from numpool._cpu.loops import itemsize_of
from numpool._cpu.match_codes import NO_INPUT, code_of, lanes_of
from numpool._cpu.memory import inline
from numpool._cpu.rows import stored_type
from numpool._cpu.strided import pick
from numpool._cpu.vector_loops import call_named, number, pointer, splat, suffix_of, vector_of


class _Numbers(NamedTuple):
    """What a kernel is told: how many planes of inputs, with elements of what is laid out and bytes
    of results from one to the next; the same of rows; how many columns of inputs; addresses of the
    code and gradient of the first window that the first input may belong to, and of the first
    result, 0 if there is none; how many lines of windows an input belongs to, and the address of
    where these start, each with what their code of an input is less; how many windows it belongs to
    along the columns, and how far these are apart; the code of the first input, what it is more
    at the next row and column of inputs, and less at the next window along the columns.
    """

    planes: Any
    plane_step: Any
    result_plane: Any
    count: Any
    pitch: Any
    result_pitch: Any
    columns: Any
    codes: Any
    gradients: Any
    result: Any
    lines: Any
    line_starts: Any
    taps: Any
    dilation: Any
    name: Any
    name_pitch: Any
    name_column: Any
    less_tap: Any


# Windows have so many taps at most.
MOST_TAPS = 27
# Vectors of inputs that are worked on together, and of those with one window along the columns.
_TOGETHER, _TOGETHER_BY_ONE = 2, 4
# Numbers of taps along the columns for which loops are unrolled, where windows start one after the
# other.
UNROLLED = (1, 3, 5)
# Where windows start further apart, there are kernels for such strides and as many taps at most:
# beyond these, matching took up to 10 times as long as scattering.
_STRIDES, _MOST_STRIDED = (2,), 3

_KIND = types.UniTuple(types.int64, len(_Numbers._fields))
# The numbers above. Returns how many windows are matched.
SIGNATURE = types.int64(*_KIND)


def _sum_of_lanes(builder, values):
    """The sum of a vector of integers, in 64 bits."""
    kind = suffix_of(values.type)
    total = call_named(builder, f"llvm.vector.reduce.add.{kind}", values.type.element, values)
    return builder.zext(total, ir.IntType(64))


@inline
def first_window(reach, before, stride):
    """The first window that the first input may belong to, which may lie before those there are:
    with so many places between its first and last tap, and so many before the first input.
    """
    return -((reach - before) // stride)


def has_kernel(kernel, stride):
    """Whether there is a kernel for windows of so many taps along the columns, so far apart."""
    return stride == 1 or (stride in _STRIDES and kernel <= _MOST_STRIDED)


def columns_of_place(kernel, stride, phase):
    """The first and last column of windows to which some of `stride` neighbouring inputs belong.
    There are `phase` places before the first of these.
    """
    return first_window.py_func(kernel - 1, phase, stride), (phase + stride - 1) // stride


def _inputs_of_columns(kernel, stride, phase):
    """For each column of windows of a place: the inputs that belong to it, each with its tap."""
    first, last = columns_of_place(kernel, stride, phase)
    columns = []
    for window in range(first, last + 1):
        taps = [(i, phase + i - window * stride) for i in range(stride)]
        columns.append([(i, tap) for i, tap in taps if 0 <= tap < kernel])
    return columns


def _interleaved(builder, vectors):
    """The first elements of all vectors, the second ones, and so on, as so many vectors."""
    if len(vectors) == 1:
        return vectors
    lanes = vectors[0].type.count
    places = [number * lanes + lane for lane in range(lanes) for number in range(len(vectors))]
    return [pick(builder, vectors, places[i * lanes :][:lanes]) for i in range(len(vectors))]


def make_match(kind, gradient, taps, stride=1, phase=0):
    """The kernel for rows of inputs, by positions or offsets and the name of a NumPy dtype; for
    windows of so many taps along the columns, as many as it is told for 0, which start `stride`
    apart, where `phase` places modulo that are before the first input.
    """
    are_positions = kind == "positions"
    computed, code, lanes = stored_type(gradient), code_of(gradient), lanes_of(gradient)
    itemsize = itemsize_of(computed)
    sums, codes = vector_of(computed, lanes), vector_of(code, lanes)
    together = _TOGETHER_BY_ONE if taps == 1 and stride == 1 else _TOGETHER
    every_input = range(stride)

    def write_rows(builder, n):
        matched = cgutils.alloca_once_value(builder, ir.Constant(codes, None))

        def moved(start, *steps):
            return functools.reduce(builder.add, [start, *(builder.mul(*step) for step in steps)])

        def each_code(value):
            return splat(builder, builder.trunc(value, codes.element), codes)

        lane_inputs = [
            ir.Constant(codes, [stride * lane + i for lane in range(lanes)]) for i in every_input
        ]
        # What the codes of a vector's inputs are more than that of the first.
        steps = [builder.mul(inputs, each_code(n.name_column)) for inputs in lane_inputs]

        def columns_of(code_of):
            """`code_of(which column of windows, the inputs that belong to these with how many taps
            lie behind theirs)`.
            """
            if taps:
                for at, inputs in enumerate(_inputs_of_columns(taps, stride, phase)):
                    code_of(number(at), [(i, number(taps - 1 - tap)) for i, tap in inputs])
                return
            with cgutils.for_range(builder, n.taps) as at:
                code_of(at.index, [(0, at.index)])

        def block(start, to, name, place, count, are_whole):
            """So many vectors of windows, and the inputs that belong to them; of which some are not
            there if not `are_whole`.
            """
            places = [builder.add(place, number(i * lanes)) for i in range(count)]
            inputs_at = [builder.mul(place, number(stride)) for place in places]
            totals = [[cgutils.alloca_once(builder, sums) for _ in every_input] for _ in places]
            for total in itertools.chain(*totals):
                builder.store(ir.Constant(sums, None), total)
            absent = None
            if not are_whole:
                left = each_code(builder.sub(n.columns, inputs_at[0]))
                absent = [builder.icmp_signed(">=", inputs, left) for inputs in lane_inputs]

            def there(i, codes_of):
                """Codes of inputs, or of no input."""
                if absent is None:
                    return codes_of
                none = ir.Constant(codes, [NO_INPUT] * lanes)
                return builder.select(absent[i], none, codes_of)

            positions = {}
            if are_positions:
                for which, at in enumerate(inputs_at):
                    first = each_code(moved(name, (at, n.name_column)))
                    for i in every_input:
                        positions[which, i] = there(i, builder.add(first, steps[i]))

            with cgutils.for_range(builder, n.lines) as lines:
                entry = moved(n.line_starts, (lines.index, number(16)))
                entry = builder.inttoptr(entry, ir.IntType(64).as_pointer())
                line = builder.add(start, builder.load(entry))
                less = builder.load(builder.gep(entry, [number(1)]))
                of_line = []
                if not are_positions:
                    first = each_code(builder.sub(name, less))
                    of_line = [there(i, first) for i in every_input]

                def take(at, inputs):
                    offsets = {}
                    if not are_positions:
                        offsets = {
                            i: builder.sub(of_line[i], each_code(builder.mul(behind, n.less_tap)))
                            for i, behind in inputs
                        }
                    for which, place in enumerate(places):
                        column = moved(builder.add(line, place), (at, n.dilation))
                        found, more = (
                            builder.load(
                                pointer(builder, address, column, dtype, lanes), align=itemsize
                            )
                            for address, dtype in ((n.codes, code), (n.gradients, computed))
                        )
                        more = builder.bitcast(more, codes)
                        for i, _ in inputs:
                            name_of = positions[which, i] if are_positions else offsets[i]
                            named = builder.sext(builder.icmp_signed("==", found, name_of), codes)
                            # A sum that begins with 0.0 is the same with another 0.0.
                            added = builder.bitcast(builder.and_(more, named), sums)
                            total = totals[which][i]
                            builder.store(builder.fadd(builder.load(total), added), total)
                            builder.store(builder.sub(builder.load(matched), named), matched)

                columns_of(take)
            with builder.if_then(builder.icmp_signed("!=", n.result, number(0))):
                for at, of_inputs in zip(inputs_at, totals, strict=True):
                    values = _interleaved(builder, [builder.load(total) for total in of_inputs])
                    for i, vector in enumerate(values):
                        first = builder.add(at, number(i * lanes))
                        target = pointer(builder, to, first, computed, lanes)
                        if are_whole:
                            builder.store(vector, target, align=itemsize)
                        else:
                            left = builder.sub(n.columns, first)
                            masked.store_first(builder, vector, target, itemsize, left)

        size = number(together * lanes)
        # Of windows that are taken together, all inputs are there.
        whole = builder.udiv(n.columns, number(together * lanes * stride))
        whole = builder.mul(whole, size)
        every = builder.udiv(builder.add(n.columns, number(stride - 1)), number(stride))
        with (
            cgutils.for_range(builder, n.planes) as planes,
            cgutils.for_range(builder, n.count) as row,
        ):
            start = moved(number(0), (planes.index, n.plane_step), (row.index, n.pitch))
            to = moved(n.result, (planes.index, n.result_plane), (row.index, n.result_pitch))
            name = moved(n.name, (row.index, n.name_pitch))
            with cgutils.for_range_slice(builder, number(0), whole, size) as (place, _):
                block(start, to, name, place, together, True)
            with cgutils.for_range_slice(builder, whole, every, number(lanes)) as (place, _):
                block(start, to, name, place, 1, False)
        return _sum_of_lanes(builder, builder.load(matched))

    @intrinsic
    def match_rows(typing_context, numbers):
        def codegen(context, builder, signature, args):
            return write_rows(builder, _Numbers(*cgutils.unpack_tuple(builder, args[0])))

        return types.int64(_KIND), codegen

    def match(
        planes, plane_step, result_plane, count, pitch, result_pitch, columns, codes, gradients,
        result, lines, line_starts, taps, dilation, name, name_pitch, name_column, less_tap,
    ):  # fmt: skip
        return match_rows(
            (
                planes, plane_step, result_plane, count, pitch, result_pitch, columns, codes,
                gradients, result, lines, line_starts, taps, dilation, name, name_pitch,
                name_column, less_tap,
            )
        )  # fmt: skip

    return match
