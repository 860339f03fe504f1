"""From indices to numbers of taps, where windows have few: what `locate` does, in one loop and with
masks in place of bounds.
"""

import numpy as np
from numba import types

from numpool._cpu.locate import NO_TAP, float_quotient, make_locating
from numpool._cpu.memory import array_at, has_bit, inline, piece
from numpool._cpu.scatter_masks import MOST_TAPS, masks_along

# The number of what is no tap that holds data.
_WRONG_TAP = 254


def make_number_taps(dtype):
    """Number taps: a line of indices to the numbers of taps in the box."""
    offsets = np.dtype(dtype).kind == "u"
    number = types.float32

    @inline
    def number_run(codes, indices, masks, held, own, axes, order):
        """The number of each gradient's tap. `masks` and `held` have a bit for each tap that holds
        data, `own` for each that is in the box.

        One loop for all axes, 2 times as fast as one for each. Returns whether any index is wrong.
        """
        inner, middle, outer = axes[order[0]], axes[order[1]], axes[order[2]]
        inner_radix, inner_inverse = number(inner.radix), number(inner.radix_inverse)
        middle_radix, middle_inverse = number(middle.radix), number(middle.radix_inverse)
        inner_taps, middle_taps = number(inner.reach), number(middle.reach)
        outer_taps = number(outer.reach)
        middle_step = number(middle.tap_step // middle.dilation)
        outer_step = number(outer.tap_step // outer.dilation)
        wrong_found = False
        for i in range(codes.size):
            index = indices[i]
            if offsets:
                code = index
                good = (index >= 0) & (index < number(MOST_TAPS))
            else:
                upper = float_quotient(index, 1, inner_inverse)
                top = float_quotient(upper, 1, middle_inverse)
                tap, middle_tap = index - upper * inner_radix, upper - top * middle_radix
                good = (tap < inner_taps) & (middle_tap < middle_taps) & (index >= 0)
                good &= top < outer_taps
                code = tap + middle_tap * middle_step + top * outer_step
            bit = types.uint32(types.int32(code if good else number(MOST_TAPS)))
            good = has_bit(masks[i] & held, bit)
            none = types.uint32(NO_TAP) if good else types.uint32(_WRONG_TAP)
            codes[i] = types.uint8(bit if has_bit(masks[i] & own, bit) else none)
            wrong_found |= (index == index) & (not good)
        return wrong_found

    @inline
    def take_apart(plan, axes, order, rest, _numbers, codes_address, limits, mask_start, rows):
        codes = array_at(codes_address, rest.size, types.uint8)
        masks = array_at(mask_start, rest.size, types.uint32)
        line_limits = array_at(limits, 9, types.int64)
        wrong_found = False
        # Rows with the same bits are one run.
        windows, first = rest.size // rows, types.int64(0)
        held = own = types.uint32(0)
        deep, own_deep = masks_along(plan, axes, line_limits, 0, 0)
        for row in range(rows + 1):
            here, own_here = masks_along(plan, axes, line_limits, 1, row * axes[1].stride)
            if row < rows and here == held and own_here == own:
                continue
            if row > first:
                at, count = first * windows, (row - first) * windows
                wrong_found |= number_run(
                    piece(codes, at, count), piece(rest, at, count), piece(masks, at, count),
                    held & deep, own & own_deep, axes, order,
                )  # fmt: skip
            first, held, own = row, here, own_here
        if wrong_found:
            for i in range(rest.size):
                if codes[i] == _WRONG_TAP and rest[i] == rest[i]:
                    return i
        return types.int64(-1)

    return make_locating(dtype, False, take_apart)
