"""Windows as they are laid out to be matched: the index of each as a code, and its gradient."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numpool._cpu import masked
from numpool._cpu.loops import itemsize_of
from numpool._cpu.match_codes import NO_WINDOW, code_of, lanes_of
from numpool._cpu.rows import stored_type
from numpool._cpu.vector_loops import number, pointer, smaller, splat, vector_of

# (codes, gradients, elements from a row to the next, rows without windows, rows, rows without
# windows behind them, gradient, bytes to the next row, indices, bytes to the next row, columns
# without windows, columns, the index that has code 0, how many codes there are)
SIGNATURE = types.void(*[types.int64] * 14)


def make_lay(indices, gradient):
    """The kernel that lays out rows of windows, for NumPy dtypes by their names."""
    stored, computed = stored_type(indices), stored_type(gradient)
    code, lanes = code_of(gradient), lanes_of(gradient)
    codes = vector_of(code, lanes)

    def coded(builder, found, base, count):
        """Indices as codes."""
        wide = found.type.element.width > code.bitwidth
        if not wide:
            found = (builder.sext if stored.signed else builder.zext)(found, codes)
        values = builder.sub(found, _each(builder, base, found))
        if wide:
            shift = ir.Constant(values.type, [code.bitwidth] * lanes)
            high = builder.trunc(builder.lshr(values, shift), codes)
            values = builder.trunc(values, codes)
            none = builder.icmp_unsigned("==", high, ir.Constant(codes, None))
        named = builder.icmp_unsigned("<", values, _each(builder, count, values))
        if wide:
            named = builder.and_(named, none)
        return builder.select(named, values, ir.Constant(codes, [NO_WINDOW] * lanes))

    def lay_rows(
        builder, to_codes, to_gradients, pitch, before, count, after, gradient, gradient_pitch,
        indices, indices_pitch, left, columns, base, names,
    ):  # fmt: skip
        nothing = ir.Constant(codes, [NO_WINDOW] * lanes)

        def fill(first, last):
            with cgutils.for_range_slice(builder, first, last, number(lanes)) as (place, _):
                to = pointer(builder, to_codes, place, code, lanes)
                builder.store(nothing, to, align=itemsize_of(code))

        def lay(row, start, place, within=None):
            for kind, source, source_pitch, target in (
                (stored, indices, indices_pitch, to_codes),
                (computed, gradient, gradient_pitch, to_gradients),
            ):
                line = builder.add(source, builder.mul(row, source_pitch))
                at = pointer(builder, line, place, kind, lanes)
                values = masked.load(builder, at, itemsize_of(kind), within)
                if target is to_codes:
                    values = coded(builder, values, base, names)
                to = pointer(builder, target, builder.add(start, place), computed, lanes)
                to = builder.bitcast(to, values.type.as_pointer())
                builder.store(values, to, align=itemsize_of(computed))

        first = builder.mul(before, pitch)
        fill(number(0), first)
        # What is written behind a row's end is written again with the next row.
        with cgutils.for_range(builder, count) as loop:
            row = loop.index
            line = builder.add(first, builder.mul(row, pitch))
            start = builder.add(line, left)
            fill(line, start)
            fits = builder.icmp_signed(">=", columns, number(lanes))
            with builder.if_else(fits) as (several, one):
                with several:
                    last = builder.sub(columns, number(lanes))
                    with cgutils.for_range_slice(builder, number(0), columns, number(lanes)) as (
                        place,
                        _,
                    ):
                        # The last vector reaches back.
                        lay(row, start, smaller(builder, place, last))
                with one:
                    lay(row, start, number(0), (number(0), columns))
            fill(builder.add(start, columns), builder.add(line, pitch))
        rest = builder.add(first, builder.mul(count, pitch))
        fill(rest, builder.add(rest, builder.mul(after, pitch)))

    @intrinsic
    def lay(typing_context, numbers):
        def codegen(context, builder, signature, args):
            lay_rows(builder, *cgutils.unpack_tuple(builder, args[0]))
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 14)), codegen

    def lay_windows(
        codes, gradients, pitch, before, rows, after, gradient, gradient_pitch, indices,
        indices_pitch, left, columns, base, names,
    ):  # fmt: skip
        lay(
            (
                codes, gradients, pitch, before, rows, after, gradient, gradient_pitch, indices,
                indices_pitch, left, columns, base, names,
            )
        )  # fmt: skip

    return lay_windows


def _each(builder, value, vector):
    """A vector of a number, like another vector."""
    return splat(builder, builder.trunc(value, vector.type.element), vector.type)
