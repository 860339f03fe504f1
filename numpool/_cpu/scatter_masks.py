"""Which taps of the windows of a line hold data, and which of them lie in a task's box: as bits."""

import numpy as np
from numba import types

from numpool._cpu.memory import array_at, function, inline

# Taps with a number are below this, which has no bit among those that hold data.
MOST_TAPS = 31
# Windows that reach farther have no masks.
MOST_REACH = 1 << 10
ALL_TAPS = np.uint32(2**32 - 1)


@inline
def inside(axis, first, count, low, high):
    """Whether all taps of `count` windows, of which the first starts at `first`, are in a box."""
    return first >= low and first + (count - 1) * axis.stride + axis.reach <= high


@inline
def bits_before(bits, axis, distance):
    """The bits of taps that stand less than a distance behind their window's first."""
    return bits[min(max(distance, 0), axis.reach)]


@function
def masks_along(plan, axes, limits, which, step):
    """The bits of taps that hold data, as far as depth or rows tell, of the windows that start a
    step behind a line's first; and of those in the box.
    """
    if plan.whole:
        return ALL_TAPS, ALL_TAPS  # the masks of whole items know all edges
    axis = axes[which]
    table = plan.bits_before + 4 * (axes[0].reach + 1) * which
    bits = array_at(table, axis.reach + 1, types.uint32)
    start = limits[3 * which] + step
    low, high = limits[3 * which + 1] - start, limits[3 * which + 2] - start
    held = bits_before(bits, axis, axis.length - start) & ~bits_before(bits, axis, -start)
    return held, bits_before(bits, axis, high) & ~bits_before(bits, axis, low)
