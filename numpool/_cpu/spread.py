"""From windows to the positions that receive them: what a backward pass does along columns in place
of a stride.

It is a kernel of its own, which knows no operator.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import address_of, array_at, inline, piece
from numpool._cpu.vector_loops import splat

# (target, its pitch, rows, size of a row, lines of wide and of narrow phases, their pitch,
# channels, period, wide, start)
SIGNATURE = types.void(*[types.int64] * 11)

# Positions that are written at once.
_LANES = 16


def _make_write_vector(dtype):
    """An intrinsic that writes a value to as many elements as a vector has, from an address on."""

    @intrinsic
    def write_vector(typing_context, address, value):
        def codegen(context, builder, signature, args):
            vector = ir.VectorType(args[1].type, _LANES)
            pointer = builder.inttoptr(args[0], vector.as_pointer())
            builder.store(splat(builder, args[1], vector), pointer, align=itemsize_of(dtype))
            return context.get_dummy_value()

        return types.void(types.int64, dtype), codegen

    return write_vector


def make_spread(dtype):
    """The kernel that spreads the windows of some periods over the positions of lines."""
    itemsize = itemsize_of(dtype)
    write_vector = _make_write_vector(dtype)

    # A literal stride becomes vector shuffles.
    @inline
    def spread_twos(out, first, second):
        for i in range(out.size // 2):
            out[2 * i] = first[i]
            out[2 * i + 1] = second[i]

    @inline
    def spread_threes(out, first, middle, second):
        for i in range(out.size // 3):
            out[3 * i] = first[i]
            out[3 * i + 1] = middle[i]
            out[3 * i + 2] = second[i]

    @inline
    def repeat(out, first, last, value):
        block = piece(out, first, last - first)
        for i in range(block.size):
            block[i] = value

    @inline
    def repeat_many(out, wide_values, narrow_values, wide, period):
        """Values by whole vectors, over whose excess the next one is written: 0.25 to 0.6 of the
        time of exact loops for periods up to 60. Returns how many periods are done.
        """
        periods = max((out.size - _LANES) // period, 0)
        for number in range(periods):
            first = address_of(out) + number * period * itemsize
            for place in range(0, wide, _LANES):
                write_vector(first + place * itemsize, wide_values[number])
            for place in range(wide, period, _LANES):
                write_vector(first + place * itemsize, narrow_values[number])
        return periods

    @inline
    def repeat_block(out, first, last, values):
        for position in range(first, last):
            block = piece(out, position * values.size, values.size)
            for i in range(block.size):
                block[i] = values[i]

    def spread(
        target, target_pitch, rows, size, wide_line, narrow_line, pitch, channels, period, wide,
        start,
    ):  # fmt: skip
        """Each period has the values of one line at its first `wide` positions, those of the other
        at the rest. A row begins `start` positions behind the start of a period.
        """
        positions = size // channels
        periods = (start + positions + period - 1) // period
        # Periods of which all positions are there.
        first_whole = 1 if start > 0 else 0
        whole = max((start + positions) // period - first_whole, 0)
        for r in range(rows):
            out = array_at(target + r * target_pitch * itemsize, size, dtype)
            first = array_at(wide_line + r * pitch * itemsize, periods * channels, dtype)
            second = first
            if wide < period:
                second = array_at(narrow_line + r * pitch * itemsize, periods * channels, dtype)
            number = 0
            quick = first_whole if channels == 1 and whole > 0 else -1
            while number < periods:
                at = number * period - start
                if number == quick:
                    block = piece(out, at, whole * period)
                    left, right = piece(first, number, whole), piece(second, number, whole)
                    done = whole
                    if period == 2:
                        spread_twos(block, left, right)
                    elif period == 3:
                        spread_threes(block, left, left if wide > 1 else right, right)
                    else:
                        done = repeat_many(block, left, right, wide, period)
                    number += done
                    quick = -1
                    continue
                values = piece(first, number * channels, channels)
                end = at + wide
                for _ in range(1 if wide == period else 2):
                    last = max(min(end, positions), 0)
                    begin = min(max(at, 0), last)
                    if channels == 1:
                        repeat(out, begin, last, values[0])
                    else:
                        repeat_block(out, begin, last, values)
                    values = piece(second, number * channels, channels)
                    at, end = end, at + period
                number += 1

    return spread
