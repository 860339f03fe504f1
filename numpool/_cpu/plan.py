"""The plan of a call: one record of numbers that tells a kernel all but where the arrays are.

All arrays are seen as (items, depth, rows, columns, channels). A call has up to four of them:
`source`, which is pooled, and `other` of the same shape; `out`, and `extra` of its shape. What is
called an address is one, as an integer; strides are in bytes.
"""

import numba
import numpy as np

OPERANDS = ("source", "other", "out", "extra")


def _integers(*names: str) -> list[tuple[str, type]]:
    return [(name, np.int64) for name in names]


def _floats(*names: str) -> list[tuple[str, type]]:
    return [(name, np.float64) for name in names]


# The strides of an operand.
STRIDES = np.dtype(_integers("depth", "row", "column", "channel"))

# The windows along an axis as they are walked, which in a backward pass is from the input's side.
AXIS = np.dtype(
    _integers("outputs", "length", "kernel", "stride", "dilation", "before")
    # Outputs in [regular_first, regular_last) hold all their taps, which are `step` elements apart.
    + _integers("regular_first", "regular_last", "step")
    # Positions hold data at multiples of `spacing` only. The greatest common divisor of dilation
    # and spacing, after how many taps one hits a multiple again, and dilation / common's inverse
    # modulo that.
    + _integers("spacing", "common", "period", "inverse")
)

# The windows along an axis as the forward pass has them, for what looks at single taps.
WINDOW = np.dtype(
    _integers("length", "kernel", "stride", "dilation", "before", "after", "outputs")
    # What a step along the axis adds to a position, and a tap to an offset: see the public
    # `return_indices`.
    + _integers("position_step", "offset_step")
    # Outputs in [divided_first, divided_last) have the share `divisor` in what an average divides
    # by; for the others, taps are counted.
    + _integers("count_include_pad", "divided_first", "divided_last")
    + _floats("divisor")
)

_AXES = ("depth", "row", "column")

PLAN = np.dtype(
    [(operand, STRIDES) for operand in OPERANDS]
    + [(axis, AXIS) for axis in _AXES]
    + [(f"{axis}_window", WINDOW) for axis in _AXES]
    # Addresses of the row functions, 0 where there is nothing to do: see rows.py.
    + _integers("load", "load_other", "finish", "store", "store_extra")
    # Items are counted over the batch axes: address of a table of (size, stride of each operand),
    # and its length.
    + _integers("batch", "batch_axes")
    # How the work is cut: a task is an item, an output depth (of a scatter: a slab of depths), a
    # band of rows, a tile of columns and a block of channels.
    + _integers("channels", "slabs", "slab_depths", "bands", "band_rows", "tiles", "tile_columns")
    + _integers("blocks", "block_channels")
    # Line buffers: whether windows slide or are folded one by one, the size of a line, how many
    # lines the reduction of rows needs, by how many depths and rows loaded rows are kept (0: not),
    # and how many taps are folded at once.
    + _integers("slide", "line_size", "levels", "kept_depths", "kept_rows", "fold_taps")
    # How far apart a loaded row of a backward pass has its elements.
    + _integers("line_spacing")
    # The backward pass of max: elements of a task's box, the index of a window without data, the
    # bound of indices, and whether they are places as they are (positions) or by a table at this
    # address (offsets).
    + _integers("box_size", "nowhere", "index_limit", "direct_places")
    # Lp's numbers: see _operators.py and _rules.py.
    + _floats("p", "inverse", "correction", "exponent", "low", "high", "scale")
)

PLAN_TYPE = numba.from_dtype(PLAN)
