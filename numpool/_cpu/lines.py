"""Lines of accumulators and the loops over them: the only hot loops of the engine.

A line is an array or, for arg-max, a pair (values, positions) of arrays; each function here takes
either, so that all that is built of them serves both. `combine` is the operator's scalar function:
of two values it makes one, and of two (value, position) it tells whether the second is preferred.
Lines have exactly the length that is worked on.

Loops over pairs combine two lines at a time: with three, LLVM's overlap checks are too many and the
loop stays scalar (1.4 ns an element instead of 0.2).
"""

from numba import types
from numba.extending import overload

from numpool._cpu.memory import OPTIONS, piece

# Later than every position: what a pair holds where there is no data.
NO_POSITION = 2**63 - 1

_INLINE = {**OPTIONS, "forceinline": True}


def _is_pair(line):
    return isinstance(line, types.BaseTuple)


def part(line, start, size):
    """The piece of a line."""


@overload(part, jit_options=_INLINE)
def _part(line, start, size):
    if _is_pair(line):
        return lambda line, start, size: (
            piece(line[0], start, size),
            piece(line[1], start, size),
        )
    return lambda line, start, size: piece(line, start, size)


def length(line):
    """The number of accumulators in a line."""


@overload(length, jit_options=_INLINE)
def _length(line):
    if _is_pair(line):
        return lambda line: line[0].size
    return lambda line: line.size


def fill(line, identity):
    """Set every accumulator to that of no data."""


@overload(fill, jit_options=_INLINE)
def _fill(line, identity):
    if _is_pair(line):

        def fill(line, identity):
            values, positions = line
            for i in range(values.size):
                values[i] = identity
            for i in range(values.size):
                positions[i] = NO_POSITION

    else:

        def fill(line, identity):
            for i in range(line.size):
                line[i] = identity

    return fill


def lift(combine, target, rows, first, second, third, bases, column_positions):
    """Set target to the combination of 1, 2 or 3 (`rows`) source rows.

    For pairs, the position of row r's element i is bases[r] + column_positions[i].
    """


@overload(lift, jit_options=_INLINE)
def _lift(combine, target, rows, first, second, third, bases, column_positions):
    if _is_pair(target):

        def lift(combine, target, rows, first, second, third, bases, column_positions):
            values, positions = target
            base = bases[0]
            for i in range(values.size):
                values[i] = first[i]
            for i in range(values.size):
                positions[i] = base + column_positions[i]
            if rows > 1:
                _lift_into(combine, values, positions, second, bases[1], column_positions)
            if rows > 2:
                _lift_into(combine, values, positions, third, bases[2], column_positions)

    else:

        def lift(combine, target, rows, first, second, third, bases, column_positions):
            if rows == 1:
                for i in range(target.size):
                    target[i] = first[i]
            elif rows == 2:
                for i in range(target.size):
                    target[i] = combine(first[i], second[i])
            else:
                for i in range(target.size):
                    target[i] = combine(combine(first[i], second[i]), third[i])

    return lift


def _lift_into(combine, values, positions, row, base, column_positions):
    """Combine a row into a pair."""


@overload(_lift_into, jit_options=_INLINE)
def _lift_into_impl(combine, values, positions, row, base, column_positions):
    def lift_into(combine, values, positions, row, base, column_positions):
        for i in range(values.size):
            position = base + column_positions[i]
            second = combine(values[i], positions[i], row[i], position)
            values[i] = row[i] if second else values[i]
            positions[i] = position if second else positions[i]

    return lift_into


def copy(target, line):
    """target[i] = line[i]."""


@overload(copy, jit_options=_INLINE)
def _copy(target, line):
    if _is_pair(target):

        def copy(target, line):
            for i in range(target[0].size):
                target[0][i] = line[0][i]
            for i in range(target[0].size):
                target[1][i] = line[1][i]

    else:

        def copy(target, line):
            for i in range(target.size):
                target[i] = line[i]

    return copy


def combine_two(combine, target, a, b):
    """target[i] = a[i] with b[i]; target is neither a nor b."""


@overload(combine_two, jit_options=_INLINE)
def _combine_two(combine, target, a, b):
    if _is_pair(target):

        def combine_two(combine, target, a, b):
            values, positions = target
            a_values, a_positions = a
            b_values, b_positions = b
            for i in range(values.size):
                second = combine(a_values[i], a_positions[i], b_values[i], b_positions[i])
                values[i] = b_values[i] if second else a_values[i]
                positions[i] = b_positions[i] if second else a_positions[i]

    else:

        def combine_two(combine, target, a, b):
            for i in range(target.size):
                target[i] = combine(a[i], b[i])

    return combine_two


def combine_into(combine, target, a):
    """target[i] = target[i] with a[i].

    A loop of its own: with target for an argument, combine_two's overlap check would choose its
    scalar version.
    """


@overload(combine_into, jit_options=_INLINE)
def _combine_into(combine, target, a):
    if _is_pair(target):

        def combine_into(combine, target, a):
            values, positions = target
            a_values, a_positions = a
            for i in range(values.size):
                second = combine(values[i], positions[i], a_values[i], a_positions[i])
                values[i] = a_values[i] if second else values[i]
                positions[i] = a_positions[i] if second else positions[i]

    else:

        def combine_into(combine, target, a):
            for i in range(target.size):
                target[i] = combine(target[i], a[i])

    return combine_into


def combine_three(combine, target, a, b, c):
    """target[i] = a[i] with b[i] with c[i]; target is none of them."""


@overload(combine_three, jit_options=_INLINE)
def _combine_three(combine, target, a, b, c):
    if _is_pair(target):

        def combine_three(combine, target, a, b, c):
            combine_two(combine, target, a, b)
            combine_into(combine, target, c)

    else:

        def combine_three(combine, target, a, b, c):
            for i in range(target.size):
                target[i] = combine(combine(a[i], b[i]), c[i])

    return combine_three


def combine_two_into(combine, target, a, b):
    """target[i] = target[i] with (a[i] with b[i])."""


@overload(combine_two_into, jit_options=_INLINE)
def _combine_two_into(combine, target, a, b):
    if _is_pair(target):

        def combine_two_into(combine, target, a, b):
            combine_into(combine, target, a)
            combine_into(combine, target, b)

    else:

        def combine_two_into(combine, target, a, b):
            for i in range(target.size):
                target[i] = combine(combine(a[i], b[i]), target[i])

    return combine_two_into


def take(target, line, stride, channels):
    """target[j, c] = line[j * stride, c], both lines of `channels` accumulators a position."""


@overload(take, jit_options=_INLINE)
def _take(target, line, stride, channels):
    if _is_pair(target):

        def take(target, line, stride, channels):
            _take_values(target[0], line[0], stride, channels)
            _take_values(target[1], line[1], stride, channels)

    else:

        def take(target, line, stride, channels):
            _take_values(target, line, stride, channels)

    return take


def _take_values(target, line, stride, channels):
    """`take` for arrays."""


@overload(_take_values, jit_options=_INLINE)
def _take_values_impl(target, line, stride, channels):
    def take_values(target, line, stride, channels):
        if channels == 1:
            for j in range(target.size):
                target[j] = line[j * stride]
        else:
            for j in range(target.size // channels):
                block = piece(line, j * stride * channels, channels)
                out = piece(target, j * channels, channels)
                for c in range(channels):
                    out[c] = block[c]

    return take_values


def combine_neighbours(combine, target, line, taps):
    """Windows of 2 or 3 taps with stride 2 of a line of one channel.

    A literal stride becomes vector shuffles, a stride in a variable never does: 3 times faster for
    2x2 and 3x3 windows.
    """


@overload(combine_neighbours, jit_options=_INLINE)
def _combine_neighbours(combine, target, line, taps):
    if _is_pair(target):

        def combine_neighbours(combine, target, line, taps):
            values, positions = target
            a_values, a_positions = line
            for j in range(values.size):
                best = 2 * j
                for i in range(2 * j + 1, 2 * j + taps):
                    if combine(a_values[best], a_positions[best], a_values[i], a_positions[i]):
                        best = i
                values[j] = a_values[best]
                positions[j] = a_positions[best]

    else:

        def combine_neighbours(combine, target, line, taps):
            if taps == 2:
                for j in range(target.size):
                    target[j] = combine(line[2 * j], line[2 * j + 1])
            else:
                for j in range(target.size):
                    target[j] = combine(combine(line[2 * j], line[2 * j + 1]), line[2 * j + 2])

    return combine_neighbours
