"""The plan of a call: one record of numbers that tells a kernel all but where the arrays are.

All arrays are seen as (items, depth, rows, columns, channels). A call has up to four of them:
`source`, which is pooled, and `other` of the same shape; `out`, and `extra` of its shape. What is
called an address is one, as an integer; strides are in bytes.
"""

import numba
import numpy as np

OPERANDS = ("source", "other", "out", "extra")


def integers(*names: str) -> list[tuple[str, type]]:
    """Fields of a record."""
    return [(name, np.int64) for name in names]


def _floats(*names: str) -> list[tuple[str, type]]:
    return [(name, np.float64) for name in names]


# The strides of an operand.
STRIDES = np.dtype(integers("depth", "row", "column", "channel"))

# The windows along an axis as they are walked, which in a backward pass is from the input's side.
AXIS = np.dtype(
    integers("outputs", "length", "kernel", "stride", "dilation", "before")
    # Places and phases are those of _windows.Phases: forward, a place is an output. How many places
    # there are, and the first. Those in [regular_first, regular_last) hold all their taps: `kernel`
    # or, in some phases, `fewer`.
    + integers("places", "first_place", "regular_first", "regular_last", "fewer")
    + integers("period", "phases", "wide", "origin", "mixed")
    # The taps of the forward window and their distance; every how many of them stand at the same
    # place of a period, and dilation's inverse modulo that.
    + integers("taps", "tap_step", "every", "inverse")
    # What a tap adds to the code of an arg-max: see loops.py.
    + integers("code")
)

# The windows along an axis as the forward pass has them, for what looks at single taps.
WINDOW = np.dtype(
    integers("length", "kernel", "stride", "dilation", "before", "after", "outputs")
    # What an output's place along the axis adds to its index.
    + integers("index_step")
    # Outputs in [divided_first, divided_last) have the share `divisor` in what an average divides
    # by; for the others, taps are counted.
    + integers("count_include_pad", "divided_first", "divided_last")
    + _floats("divisor")
)

_AXES = ("depth", "row", "column")

PLAN = np.dtype(
    [(operand, STRIDES) for operand in OPERANDS]
    + [(axis, AXIS) for axis in _AXES]
    + [(f"{axis}_window", WINDOW) for axis in _AXES]
    # Addresses of the line kernel, of the row functions, 0 where rows are used as they are, of what
    # spreads windows over columns, of what takes elements of the source that cannot be read as they
    # lie, and of the kernel of short windows, in place of the line kernel: see lines.py, rows.py,
    # spread.py, strided.py and short_windows.py.
    + integers("lines", "load", "store", "spread", "take", "short")
    # Items are counted over the batch axes: address of a table of (size, stride of each operand),
    # and its length.
    + integers("batch", "batch_axes")
    # How the work is cut: a task is an item, an output depth, a band of output rows, a tile of
    # output columns and a block of channels.
    + integers("items", "channels", "bands", "band_rows", "tiles", "tile_columns")
    + integers("blocks", "block_channels")
    # Of a band over whose rows windows slide: the rows of a strip, and those of a group, which are
    # `group_step` lines from the next. Its core is a number of sums of so many rows, and a rest.
    + integers("strip_rows", "row_group", "group_step", "core_sums", "core_rows", "core_rest")
    # Short windows: the planes along the innermost batch axis, how many of them are an item, in how
    # many items, and bytes from one to the next.
    + integers("planes", "item_planes", "plane_items", "source_plane", "out_plane")
    # How a task is done (see walk.py): whether windows slide over rows or are folded one by one,
    # whether the rows of a tile are one line, whether source rows are lines, and as such are lifted
    # on the way, whether lines as they are laid out are windowed, whether results go straight to
    # `out`, short windows divided, and whether the source is in the cache already.
    + integers("slide_rows", "flat", "source_lines", "lift_runs", "laid_lines", "out_lines")
    + integers("divided", "cached")
    # Accumulators: bytes of one, whether they have codes, and these behind them.
    + integers("itemsize", "coded", "pairs")
    # Buffers, in accumulators: rows that are laid out at a time, the pitches of laid out, of
    # windowed and of spread rows, sizes of buffers, and how many columns are folded at once.
    + integers("batch_rows", "pitch", "result_pitch", "spread_pitch")
    + integers("laid_size", "strip_size", "result_size", "slid_size", "spare_size")
    + integers("loaded_size", "level_size", "fold_columns")
    # Indices: of the first tap of the first window.
    + integers("index_base")
    # Lp's numbers: see _operators.py and _rules.py.
    + _floats("p", "inverse", "correction", "exponent", "low", "high", "scale")
)

PLAN_TYPE = numba.from_dtype(PLAN)
