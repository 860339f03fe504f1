"""The plan of a call: one record of numbers that tells a kernel everything but the addresses of the
arrays.

All arrays are seen as (items, depth, rows, columns, channels). A call has up to four of them:
`source`, which is pooled, and `other` of the same shape; `out`, and `extra` of its shape. Strides
are in bytes.
"""

import numba
import numpy as np

OPERANDS = ("source", "other", "out", "extra")
DIRECTIONS = ("depth", "row", "column", "channel")

PLAN = np.dtype(
    [(f"{operand}_{direction}", np.int64) for operand in OPERANDS for direction in DIRECTIONS]
    # Addresses of the row functions, 0 where there is nothing to do: see rows.py.
    + [(name, np.int64) for name in ("load", "load_other", "finish", "store", "store_extra")]
    # Items are counted over the batch axes: address of a table of (size, stride of each operand),
    # and its length.
    + [("batch", np.int64), ("batch_axes", np.int64)]
    # Windows along depth and rows: the address of a table of (first, count) of taps, an entry for
    # each output, and the distance of two taps; `divisors` is a table over the outputs of the
    # forward pass, in a backward pass too.
    + [
        (f"{axis}_{name}", np.int64)
        for axis in ("depth", "row")
        for name in ("taps", "step", "divisors", "outputs")
    ]
    # Windows along columns. Outputs in [regular_first, regular_last) hold all their taps; the
    # others have entries in `column_taps`. The same for divisors, which in a backward pass belong
    # to columns of the source.
    + [
        (f"column_{name}", np.int64)
        for name in (
            "length",
            "kernel",
            "stride",
            "dilation",
            "before",
            "outputs",
            "spacing",
            "step",
            "taps",
            "regular_first",
            "regular_last",
            "divisors",
            "divided_first",
            "divided_last",
        )
    ]
    + [("channels", np.int64)]
    # How the work is cut: a task is an item, an output depth, a band of output rows, a tile of
    # output columns and a block of channels.
    + [
        (name, np.int64)
        for name in ("bands", "band_rows", "tiles", "tile_columns", "blocks", "block_channels")
    ]
    # Line buffers: whether windows slide or are folded one by one, the size of a line, how many
    # lines the reduction of rows needs, how many loaded rows are kept (0: none) and by which depths
    # and rows they are found.
    + [
        (name, np.int64)
        for name in ("slide", "line_size", "levels", "kept_depths", "kept_rows", "fold_taps")
    ]
    # The backward pass of max: depths of a task's box, elements of the largest, the index of a
    # window without data, the bound of indices, and whether they are places as they are (positions)
    # or by a table at this address (offsets).
    + [
        (name, np.int64)
        for name in (
            "slabs",
            "slab_depths",
            "box_size",
            "nowhere",
            "index_limit",
            "direct_places",
        )
    ]
    # Arg-max: what a step along each axis adds to a position.
    + [(f"position_{name}", np.int64) for name in ("depth", "row", "column")]
    # Address of a table of the forward windows along depth, rows and columns, for what looks at
    # single taps.
    + [("geometry", np.int64)]
    # The interior's divisor along columns, and Lp's numbers: see operators.
    + [
        (name, np.float64)
        for name in (
            "column_divisor",
            "p",
            "inverse",
            "correction",
            "exponent",
            "low",
            "high",
            "scale",
        )
    ]
)

PLAN_TYPE = numba.from_dtype(PLAN)

# An entry of the table at `geometry`.
WINDOW = np.dtype(
    [
        (name, np.int64)
        for name in (
            "length",
            "kernel",
            "stride",
            "dilation",
            "before",
            "outputs",
            "position_step",
            "offset_step",
        )
    ]
)

WINDOW_TYPE = numba.from_dtype(WINDOW)
