"""The hot loops that are made in Python: over pairs, of elements that are packed, along a line. All
others are in line_loops.py.

A line is (address, size): consecutive accumulators. For arg-max, an accumulator holds a value and a
code, which tells which tap of a window it is; where a later part of a window is combined, its codes
grow by that part's `shift`. Values of up to 32 bits are packed with their codes in one int64. Wider
ones are pairs, whose codes lie `distance` bytes behind the values; every loop has a version for
these. Loops over plain values take the same arguments and ignore those, and
these loops ignore the rows that lifts of line_loops.py go over.

A loop is small and compiled once, so that LLVM makes vector instructions of it and its checks for
overlapping lines stay few. In-place loops are loops of their own: given its target as an argument,
`two` would take its scalar version.
"""

import numpy as np
from numba import types

from numpool._cpu.memory import array_at, function, inline


def itemsize_of(dtype):
    """The bytes of a numba type."""
    return np.dtype(str(dtype)).itemsize


# The code of what holds no data: above all codes, and the sum of both fits.
NO_CODE = np.int64(1 << 62)


def _in_two_steps(two, into):
    """Loops over one line more, made of those over two lines and over one."""

    @inline
    def three(target, a, b, c, a_shift, b_shift, c_shift, *others):
        two(target, a, b, a_shift, b_shift, *others)
        into(target, c, c_shift, *others)

    @inline
    def two_into(target, a, b, a_shift, b_shift, *others):
        into(target, a, a_shift, *others)
        into(target, b, b_shift, *others)

    return three, two_into


@inline
def _as_it_is(value, shift):
    return value


@inline
def _shifted(packed, shift):
    return packed - shift  # codes count down


def value_moves(combine, dtype, packed):
    """The loops (neighbours_of_3, take) over plain or packed values; `combine(a, b)` is the
    accumulator of both.
    """
    moved = _shifted if packed else _as_it_is

    @inline
    def values_of(line):
        return array_at(line[0], line[1], dtype)

    # Pixels of three channels: 8 times faster than a loop over channels.
    @function
    def neighbours_of_3(target, line, shift, distance):
        out, values = values_of(target), values_of(line)
        for i in range(out.size // 3):
            out[3 * i] = combine(values[6 * i], moved(values[6 * i + 3], shift))
            out[3 * i + 1] = combine(values[6 * i + 1], moved(values[6 * i + 4], shift))
            out[3 * i + 2] = combine(values[6 * i + 2], moved(values[6 * i + 5], shift))

    @function
    def take(target, line, stride, distance):
        out, values = values_of(target), values_of(line)
        for i in range(out.size):
            out[i] = values[i * stride]

    return neighbours_of_3, take


def packed_lifts(combine, dtype, source, convert):
    """The loops (lift, lift_two, lift_three, lift_into, lift_two_into) over elements of type
    `source`, which become packed values by `convert(element, code)`.
    """

    @inline
    def values_of(line):
        return array_at(line[0], line[1], dtype)

    @inline
    def elements_of(line):
        return array_at(line[0], line[1], source)

    @function
    def lift(target, a, code, distance, by):
        out, first = values_of(target), elements_of(a)
        for i in range(out.size):
            out[i] = convert(first[i], code)

    @function
    def lift_two(target, a, b, a_code, b_code, distance, by):
        out, first, second = values_of(target), elements_of(a), elements_of(b)
        for i in range(out.size):
            out[i] = combine(convert(first[i], a_code), convert(second[i], b_code))

    @function
    def lift_into(target, a, code, distance, by):
        out, first = values_of(target), elements_of(a)
        for i in range(out.size):
            out[i] = combine(out[i], convert(first[i], code))

    lift_three, lift_two_into = _in_two_steps(lift_two, lift_into)
    return lift, lift_two, lift_three, lift_into, lift_two_into


def pair_loops(prefers_second, identity, dtype):
    """The loops over pairs; `prefers_second(a, i, b, j)` tells whether (b, j) is preferred.

    They combine two lines at a time: with three, the overlap checks are too many and the loop stays
    scalar (1.4 ns an element instead of 0.2).
    """

    @inline
    def values_of(line):
        return array_at(line[0], line[1], dtype)

    @inline
    def codes_of(line, distance):
        return array_at(line[0] + distance, line[1], types.int64)

    @function
    def fill(target, distance):
        values, codes = values_of(target), codes_of(target, distance)
        for i in range(values.size):
            values[i] = identity
        for i in range(values.size):
            codes[i] = NO_CODE

    @function
    def copy(target, a, shift, distance):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, a_codes = values_of(a), codes_of(a, distance)
        for i in range(values.size):
            values[i] = a_values[i]
        for i in range(values.size):
            codes[i] = a_codes[i] + shift

    @function
    def two(target, a, b, a_shift, b_shift, distance):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, a_codes = values_of(a), codes_of(a, distance)
        b_values, b_codes = values_of(b), codes_of(b, distance)
        for i in range(values.size):
            first, other = a_codes[i] + a_shift, b_codes[i] + b_shift
            second = prefers_second(a_values[i], first, b_values[i], other)
            values[i] = b_values[i] if second else a_values[i]
            codes[i] = other if second else first

    @function
    def into(target, a, shift, distance):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, a_codes = values_of(a), codes_of(a, distance)
        for i in range(values.size):
            other = a_codes[i] + shift
            second = prefers_second(values[i], codes[i], a_values[i], other)
            values[i] = a_values[i] if second else values[i]
            codes[i] = other if second else codes[i]

    three, two_into = _in_two_steps(two, into)

    @function
    def neighbours(target, line, shift, distance):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, a_codes = values_of(line), codes_of(line, distance)
        for i in range(values.size):
            a, b = a_values[2 * i], a_values[2 * i + 1]
            first, other = a_codes[2 * i], a_codes[2 * i + 1] + shift
            second = prefers_second(a, first, b, other)
            values[i] = b if second else a
            codes[i] = other if second else first

    @function
    def neighbours_and_evens(target, evens, line, shift, distance):
        neighbours(target, line, shift, distance)
        values, codes = values_of(evens), codes_of(evens, distance)
        a_values, a_codes = values_of(line), codes_of(line, distance)
        for i in range(values.size):
            values[i] = a_values[2 * i]
        for i in range(values.size):
            codes[i] = a_codes[2 * i]

    @function
    def neighbours_of_3(target, line, shift, distance):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, a_codes = values_of(line), codes_of(line, distance)
        for i in range(values.size // 3):
            for c in range(3):
                at, left, right = 3 * i + c, 6 * i + c, 6 * i + 3 + c
                first, other = a_codes[left], a_codes[right] + shift
                second = prefers_second(a_values[left], first, a_values[right], other)
                values[at] = a_values[right] if second else a_values[left]
                codes[at] = other if second else first

    @function
    def take(target, line, stride, distance):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, a_codes = values_of(line), codes_of(line, distance)
        for i in range(values.size):
            values[i] = a_values[i * stride]
        for i in range(values.size):
            codes[i] = a_codes[i * stride]

    # Source rows have values only: all their elements get the code of their tap.
    @function
    def lift(target, a, code, distance, by):
        values, codes, a_values = values_of(target), codes_of(target, distance), values_of(a)
        for i in range(values.size):
            values[i] = a_values[i]
        for i in range(values.size):
            codes[i] = code

    @function
    def lift_two(target, a, b, a_code, b_code, distance, by):
        values, codes = values_of(target), codes_of(target, distance)
        a_values, b_values = values_of(a), values_of(b)
        for i in range(values.size):
            second = prefers_second(a_values[i], a_code, b_values[i], b_code)
            values[i] = b_values[i] if second else a_values[i]
            codes[i] = b_code if second else a_code

    @function
    def lift_into(target, a, code, distance, by):
        values, codes, a_values = values_of(target), codes_of(target, distance), values_of(a)
        for i in range(values.size):
            second = prefers_second(values[i], codes[i], a_values[i], code)
            values[i] = a_values[i] if second else values[i]
            codes[i] = code if second else codes[i]

    lift_three, lift_two_into = _in_two_steps(lift_two, lift_into)
    along = (neighbours, neighbours_and_evens, neighbours_of_3, take)
    loops = (fill, copy, two, three, into, two_into, *along)
    return loops, (lift, lift_two, lift_three, lift_into, lift_two_into)
