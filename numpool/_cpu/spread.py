"""From windows to the positions that receive them: what a backward pass does along columns in place
of a stride.

It is a kernel of its own, which knows no operator.
"""

from numba import types

from numpool._cpu.loops import itemsize_of
from numpool._cpu.memory import array_at, inline, piece

# (target, its pitch, rows, size of a row, lines of wide and of narrow phases, their pitch,
# channels, period, wide, start)
SIGNATURE = types.void(*[types.int64] * 11)


def make_spread(dtype):
    """The kernel that spreads the windows of some periods over the positions of lines."""
    itemsize = itemsize_of(dtype)

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
            while number < periods:
                at = number * period - start
                if channels == 1 and period <= 3 and number == first_whole and whole > 0:
                    block = piece(out, at, whole * period)
                    left, right = piece(first, number, whole), piece(second, number, whole)
                    if period == 2:
                        spread_twos(block, left, right)
                    else:
                        spread_threes(block, left, left if wide > 1 else right, right)
                    number += whole
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
