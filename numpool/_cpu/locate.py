"""From indices to places: where in a task's box each gradient of a line goes.

An index is taken apart axis by axis, from the innermost one: an offset as it is, a position as its
distance from that of the window's first tap. Each tap is checked on the way to be one that holds
data. Where all numbers are small, by products with reciprocals in float32, exact to the floor below
2**22: vector loops, 10 times as fast as divisions.
"""

import numpy as np
from numba import types

from numpool._cpu.memory import array_at, inline, write
from numpool._cpu.rows import stored_type
from numpool._cpu.scatter_lines import make_load_line
from numpool._cpu.scatter_plan import AXIS_TYPE, SCATTER_TYPE
from numpool._cpu.target import has_wide_vectors

LOCATE = types.void(*[types.int64] * 14)

# Displacements of gradients that are none of the box's, of windows without data, and of wrong
# indices: so low that no sum of displacements lifts one to the next.
_ELSEWHERE = -(2**56)
_NOWHERE = -(2**59)
_WRONG = -(2**62)
# The number of what is no tap of the box.
NO_TAP = 255
# A distance from a window's first tap that is none of a tap's.
_FAR = types.int32(-(2**31))
# Bounds are cut to what float32 holds exactly, and no small number reaches.
_FARTHEST = 2**23


@inline
def float_quotient(value, by, inverse):
    return np.floor((value + types.float32(0.5)) * inverse)


@inline
def integer_quotient(value, by, inverse):
    # Unsigned: a window may have up to 2**64 taps.
    return types.int64(types.uint64(value) // types.uint64(by)) if by else types.int64(0)


@inline
def float_bound(value):
    return types.float32(min(max(value, -_FARTHEST), _FARTHEST))


@inline
def integer_bound(value):
    return value


@inline
def float_of(distance):
    return types.float32(distance)


@inline
def float_by_32_bits(distance):
    """The same of what 32 bits hold, and of other distances one that no window has: without
    AVX-512, integers of 64 bits are converted one by one, which takes twice as long in all.
    """
    narrow = types.int32(distance)
    return types.float32(narrow if narrow == distance else _FAR)


@inline
def limits_of(limits, which):
    """Where the line's first window starts along an axis, and the box's first and last place."""
    own = array_at(limits + 24 * which, 3, types.int64)
    return own[0], own[1], own[2]


def make_locating(dtype, far, take_apart):
    """A kernel over a line of indices: `take_apart` is given them as numbers that tell how far each
    is from the index of its window's first tap, NaN for windows without data if not `far`; it
    returns which of them is wrong, or -1. A wrong index is entered at `found` as (1, index).

    Where a line is no contiguous piece, it is loaded first. There is room for two numbers an index.
    """
    offsets = np.dtype(dtype).kind == "u"
    stored = stored_type(dtype)
    number = types.int64 if far else types.float32
    number_size = number.bitwidth // 8
    nothing = types.float32(np.nan)
    to_number = float_of if has_wide_vectors() else float_by_32_bits
    load_line = make_load_line(dtype, inline(lambda value: value))

    def locating(
        plan_address, address, loaded, numbers, codes, size, limits, masks, found, items, depths,
        rows, columns, channels,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        axes = array_at(plan.axes, 3, AXIS_TYPE)
        order = array_at(plan.order, 3, types.int64)
        indices = array_at(address if plan.indices.dense else loaded, size, stored)
        if plan.indices.dense == 0:
            load_line(indices, address, plan.indices, items, depths, rows, columns, channels)
        rest = array_at(numbers + number_size * plan.line_size, size, number)
        origins = array_at(plan.origins, size, types.int64 if far else types.int32)
        origin = types.int64(0)
        if not far and not offsets:
            for k in range(plan.ordered):
                which = order[k]
                origin += limits_of(limits, which)[0] * axes[which].position_step
        marker = stored(plan.nowhere)
        for i in range(size):
            index = indices[i]
            if far:
                rest[i] = index
            else:
                distance = index if offsets else types.int64(index) - (origins[i] + origin)
                rest[i] = nothing if index == marker else to_number(distance)
        wrong = take_apart(plan, axes, order, rest, numbers, codes, limits, masks, rows)
        if wrong >= 0:
            write(found, types.int64(1))
            write(found + 8, types.int64(indices[wrong]))

    return locating


def make_locate(dtype, far):
    """Locate: a line of indices to displacements in the box from each window's first tap, negative
    for what goes elsewhere. Positions are of signed dtypes, offsets of unsigned ones.

    `far`: numbers may be too large for float32, or windows longer than the axis; then positions are
    taken apart as they are.
    """
    offsets = np.dtype(dtype).kind == "u"
    number = types.int64 if far else types.float32
    divide = integer_quotient if far else float_quotient
    bound = integer_bound if far else float_bound
    elsewhere, nowhere, wrong = number(_ELSEWHERE), number(_NOWHERE), number(_WRONG)
    least, worst = number(_NOWHERE // 2), number(_WRONG // 2)
    number_size = number.bitwidth // 8

    @inline
    def along(axis, dilated, rest, starts, displacements, start, first, last):
        """Takes an axis out of the indices, and adds its part to the displacements."""
        radix, radix_inverse = number(axis.radix), number(axis.radix_inverse)
        dilation, dilation_inverse = number(axis.dilation), number(axis.dilation_inverse)
        tap_step = number(axis.tap_step)
        # All relative to where the line's first window starts.
        low, high = bound(-start), bound(axis.length - start)
        own_low, own_high = bound(first - start), bound(last - start)
        taps = bound(axis.kernel if offsets else axis.reach)
        for i in range(rest.size):
            index = rest[i]
            quotient = divide(index, axis.radix, radix_inverse)
            rest[i] = quotient
            distance = tap = index - quotient * radix
            if far and not offsets:
                distance = tap = tap - (starts[i] + start)
            good = (tap >= 0) & (tap < taps)
            if dilated and offsets:
                distance = tap * dilation
            elif dilated:
                tap = divide(distance, axis.dilation, dilation_inverse)
                good &= tap * dilation == distance
            place = starts[i] + distance
            good &= (place >= low) & (place < high)
            own = good & (place >= own_low) & (place < own_high)
            before = displacements[i]
            after = before + (tap * tap_step if own else elsewhere)
            displacements[i] = after if good | (before < least) else wrong

    @inline
    def take_apart(plan, axes, order, rest, numbers, codes_address, limits, _masks, _rows):
        displacements = array_at(numbers, rest.size, number)
        codes = array_at(codes_address, rest.size if plan.numbered else 0, types.uint8)
        for i in range(rest.size):
            marked = rest[i] == plan.nowhere if far else rest[i] != rest[i]
            displacements[i] = nowhere if marked else number(0)
        for k in range(plan.ordered):
            which = order[k]
            axis = axes[which]
            starts = array_at(plan.starts + number_size * which * plan.line_size, rest.size, number)
            start, first, last = limits_of(limits, which)
            if axis.dilation == 1:
                along(axis, False, rest, starts, displacements, start, first, last)
            else:
                along(axis, True, rest, starts, displacements, start, first, last)
        for i in range(codes.size):
            code = displacements[i]
            codes[i] = types.uint8(types.int32(code)) if code >= 0 else types.uint8(NO_TAP)
        found = types.int64(-1)
        for i in range(rest.size):
            found = i if displacements[i] < worst else found
        return found

    return make_locating(dtype, far, take_apart)
