"""What matching has to know of a call: one record of numbers, and one for each axis.

All arrays are seen as (items, depth, rows, columns); items are those of the last batch axis.
Strides are in bytes, addresses are integers.
"""

import numba
import numpy as np

from numpool._cpu.plan import integers

OPERANDS = ("gradient", "indices", "out")

STRIDES = np.dtype(integers("item", "depth", "row", "column"))

AXIS = np.dtype(
    integers("length", "outputs", "kernel", "stride", "dilation", "before", "reach")
    # The part of the axis that a task's box has, and into how many boxes it is cut.
    + integers("box", "boxes")
    # How many windows the places of a box need beside one for each, and how many elements of what
    # is laid out lie between two of them.
    + integers("span", "step")
    # What an input's place, and the number of a window's tap, add to an index.
    + integers("position_step", "tap_step")
)

MATCH = np.dtype(
    [(operand, STRIDES) for operand in OPERANDS]
    # Addresses of tables: axes as (depth, rows, columns), and the batch axes but the last,
    # innermost first, as (size, stride of each operand and of one that is not there).
    + integers("axes", "batch", "batch_axes")
    # A task is a group of items, and a box of each.
    + integers("items", "group", "groups")
    # What is laid out: elements of an item, of a task, and bytes of each.
    + integers("item_step", "size", "itemsize")
    # The number of taps, if indices are offsets, or 0.
    + integers("offsets")
    # Addresses of kernels.
    + integers("lay", "add")
)

AXIS_TYPE = numba.from_dtype(AXIS)
MATCH_TYPE = numba.from_dtype(MATCH)
