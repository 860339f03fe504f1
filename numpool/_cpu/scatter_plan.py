"""What a scatter has to know of a call: one record of numbers, and one for each axis.

All arrays are seen as (items, depth, rows, columns, channels); items are those of the last batch
axis. Strides are in bytes, addresses are integers.
"""

import numba
import numpy as np

from numpool._cpu.plan import integers

OPERANDS = ("gradient", "indices", "out", "x")


# The strides of an operand, and its element's size where a line is one contiguous piece, else 0.
STRIDES = np.dtype(integers("item", "depth", "row", "column", "channel", "dense"))

AXIS = np.dtype(
    integers("length", "outputs", "kernel", "stride", "dilation", "before", "reach")
    # The part of the axis that a task's box has, into how many boxes it is cut, and how many
    # elements of the box lie between two places.
    + integers("box", "boxes", "step")
    # What a tap adds to what a gradient is located by: elements of the box from the window's first
    # tap, or a number of its own.
    + integers("tap_step")
    # An index is divided by `radix` to take this axis out of it; 0 for the axis that is left last.
    # What a step along the axis adds to a position.
    + integers("radix", "position_step")
    + [("radix_inverse", np.float32), ("dilation_inverse", np.float32)]
)

SCATTER = np.dtype(
    [(operand, STRIDES) for operand in OPERANDS]
    # Addresses of tables: axes as (depth, rows, columns), and which of them an index has, innermost
    # first; the batch axes but the last, innermost first, as (size, stride of each operand).
    + integers("axes", "order", "ordered", "batch", "batch_axes")
    # A task is a group of items, a box of each along depth, rows and columns, and a block of
    # channels.
    + integers("items", "group", "groups", "channels", "blocks", "block_channels", "item_step")
    # A line is so many outputs: whole items, or some rows, or some columns of a row.
    + integers("whole", "line_rows", "line_columns", "line_size")
    # Addresses of tables: how far each window of a line starts from the first one, along each axis,
    # in places of the box and in positions.
    + integers("starts", "bases", "origins")
    # Whether sums are taken in `out` itself, or how many elements the box has.
    + integers("direct", "box_size")
    # Taps of small windows have numbers. How many these are; address of their places in the box
    # from the window's start, by number, below 0 for what is none; of the masks of a line, which
    # have a bit for each tap that holds data, where columns may be near the edge, or whole items;
    # whether columns may be; of the bits of taps less than 0, 1 ... places behind the window's
    # start, along depth and then along rows.
    + integers("numbered", "tap_places", "masks", "masked_columns", "bits_before")
    # They are scattered tap by tap where they start one after the other: how many rows of taps a
    # window has, addresses of their places in the box from the window's start and of their first
    # numbers; taps in a row, and steps to the next in places and numbers; whether a line is one run
    # of windows.
    + integers("tap_rows", "row_places", "row_codes", "row_taps", "tap_step", "code_step", "flat")
    # Whether gradients are added by their positions, and not by numbers or displacements.
    + integers("by_positions")
    # The index of a window without data.
    + integers("nowhere")
    # Addresses of row functions, 0 where there is nothing to do.
    + integers("locate", "number", "load", "sign", "add", "store")
)

AXIS_TYPE = numba.from_dtype(AXIS)
SCATTER_TYPE = numba.from_dtype(SCATTER)
