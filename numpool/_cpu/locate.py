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

LOCATE = types.void(*[types.int64] * 14)

# Displacements of gradients that are none of the box's, of windows without data, and of wrong
# indices: so low that no sum of displacements lifts one to the next.
_ELSEWHERE = -(2**56)
NOWHERE = -(2**59)
_WRONG = -(2**62)
_OUTSIDE = 2**40
# The number of what is no tap of the box.
NO_TAP = 255
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
def limits_of(limits, which):
    """Where the line's first window starts along an axis, and the box's first and last place."""
    own = array_at(limits + 24 * which, 3, types.int64)
    return own[0], own[1], own[2]


def make_take_in(dtype, far):
    """How a line of indices is taken in: as they are, and as numbers that tell how far each is from
    the index of its window's first tap, behind room for as many.
    """
    offsets = np.dtype(dtype).kind == "u"
    stored = stored_type(dtype)
    number = types.int64 if far else types.float32
    nowhere, number_size = number(NOWHERE), number.bitwidth // 8
    load_line = make_load_line(dtype, inline(lambda value: value))

    @inline
    def take_in(
        plan, axes, order, address, loaded, numbers, size, limits, items, depths, rows, columns,
        channels,
    ):  # fmt: skip
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
        for i in range(size):
            index = types.int64(indices[i])
            if far:
                rest[i] = index
            else:
                # What is out of every range stays so, and apart from the marker.
                value = min(max(index, -_OUTSIDE), _OUTSIDE)
                if not offsets:
                    value -= origins[i] + origin
                rest[i] = nowhere if index == plan.nowhere else number(value)
        return indices, rest

    return take_in


def make_locate(dtype, far):
    """Locate: a line of indices to displacements in the box from each window's first tap, negative
    for what goes elsewhere. Positions are of signed dtypes, offsets of unsigned ones.

    `far`: numbers may be too large for float32, or windows longer than the axis; then positions are
    taken apart as they are. An index that is no tap of its window that holds data is entered at
    `found` as (1, index).
    """
    offsets = np.dtype(dtype).kind == "u"
    number = types.int64 if far else types.float32
    divide = integer_quotient if far else float_quotient
    bound = integer_bound if far else float_bound
    elsewhere, nowhere, wrong = number(_ELSEWHERE), number(NOWHERE), number(_WRONG)
    least, worst = number(NOWHERE // 2), number(_WRONG // 2)
    number_size = number.bitwidth // 8
    take_in = make_take_in(dtype, far)

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

    def locate(
        plan_address, address, loaded, numbers, codes_address, size, limits, _masks, found,
        items, depths, rows, columns, channels,
    ):  # fmt: skip
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        axes = array_at(plan.axes, 3, AXIS_TYPE)
        order = array_at(plan.order, 3, types.int64)
        indices, rest = take_in(
            plan, axes, order, address, loaded, numbers, size, limits, items, depths, rows, columns,
            channels,
        )  # fmt: skip
        displacements = array_at(numbers, size, number)
        codes = array_at(codes_address, size if plan.numbered else 0, types.uint8)
        for i in range(size):
            marked = types.int64(indices[i]) == plan.nowhere
            displacements[i] = nowhere if marked else number(0)
        for k in range(plan.ordered):
            which = order[k]
            axis = axes[which]
            starts = array_at(plan.starts + number_size * which * plan.line_size, size, number)
            start, first, last = limits_of(limits, which)
            if axis.dilation == 1:
                along(axis, False, rest, starts, displacements, start, first, last)
            else:
                along(axis, True, rest, starts, displacements, start, first, last)
        for i in range(codes.size):
            code = displacements[i]
            codes[i] = types.uint8(types.int32(code)) if code >= 0 else types.uint8(NO_TAP)
        count = 0
        for i in range(size):
            count += 1 if displacements[i] < worst else 0
        if count:
            for i in range(size):
                if displacements[i] < worst:
                    write(found, types.int64(1))
                    write(found + 8, types.int64(indices[i]))

    return locate
