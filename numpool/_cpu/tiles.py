"""What all walks work on: their buffers, the tiles of the output, and taps folded into a line."""

from typing import NamedTuple

from numba import types

from numpool._cpu.lines import COMBINE, FILL, FOLD, LIFT
from numpool._cpu.memory import (
    CHECKED,
    ONE,
    ZERO,
    aligned_memory,
    call,
    call_lines,
    function,
    inline,
    read,
    to_cache_line,
)
from numpool._cpu.taps import output_of, place_of

# Taps that are combined one after the other; more are combined as a tree of such leaves.
LEAF = 9


class Buffers(NamedTuple):
    """Addresses of the buffers of a walk, and the distance of codes behind their values."""

    laid: int
    strip: int
    result: int
    slid: int
    spare: int
    loaded: int
    levels: int
    distance: int


class Tile(NamedTuple):
    """What is worked on: an item's addresses, a place along depth, output columns, their windows,
    channels; the source columns they reach into, and how many accumulators lie before these in a
    line.
    """

    source: int
    other: int
    out: int
    extra: int
    depth: int
    column: int
    columns: int
    windows: int
    channels: int
    low: int
    data: int
    margin: int


@function
def make_buffers(plan):
    """The memory of a walk and the places of its buffers in it; the codes of pairs lie behind all
    values.
    """
    strip = plan.laid_size
    result = strip + plan.strip_size
    slid = result + plan.result_size
    spare = slid + plan.slid_size
    loaded = spare + plan.spare_size
    levels = loaded + plan.loaded_size
    values = to_cache_line((levels + plan.level_size) * plan.itemsize)
    distance = values if plan.pairs else 0
    memory, base = aligned_memory(values + distance)
    return memory, Buffers(
        base,
        base + strip * plan.itemsize,
        base + result * plan.itemsize,
        base + slid * plan.itemsize,
        base + spare * plan.itemsize,
        base + loaded * plan.itemsize,
        base + levels * plan.itemsize,
        distance,
    )


@function
def parts_of(plan, task):
    """The numbers of a task's block of channels, tile of columns, band of rows, place along depth
    and item.
    """
    rest, block = divmod(task, plan.blocks)
    rest, number = divmod(rest, plan.tiles)
    rest, band = divmod(rest, plan.bands)
    item, depth = divmod(rest, plan.depth.places)
    return block, number, band, depth + plan.depth.first_place, item


@function
def item_addresses(plan, item, source, other, out, extra):
    """The addresses of an item's first element in each operand."""
    for axis in range(plan.batch_axes):
        entry = plan.batch + axis * 40
        size = read(entry, types.int64)
        index = item % size
        item //= size
        source += index * read(entry + 8, types.int64)
        other += index * read(entry + 16, types.int64)
        out += index * read(entry + 24, types.int64)
        extra += index * read(entry + 32, types.int64)
    return source, other, out, extra


@inline
def part(plan, address, size, start, count):
    """The address of a part of a buffer of `size` accumulators."""
    if CHECKED and (start < 0 or count < 0 or start + count > size):
        raise IndexError("a part of a buffer reaches beyond it")
    return address + start * plan.itemsize


@inline
def fill(plan, target, pitch, rows, size, distance):
    call_lines(plan.lines, (FILL, target, pitch, rows, size, distance))


@inline
def fold(
    plan, operation, target, pitch, rows, size, source, source_pitch, depths, row_taps, codes,
    distance,
):  # fmt: skip
    """Depths and rows are (taps, bytes from one to the next); codes those of a depth, a row, and
    the first tap.
    """
    call_lines(
        plan.lines, (operation, target, pitch, rows, size, source, source_pitch, depths[0],
        depths[1],
        row_taps[0], row_taps[1], codes[0], codes[1], codes[2], distance))  # fmt: skip


@inline
def combine(plan, target, size, line, distance):
    call_lines(plan.lines, (COMBINE, target, size, line, 0, distance))


@inline
def first_code(axis, output, first):
    """The code along an axis of the first tap with data of an output."""
    return (first + axis.before - output * axis.stride) // axis.dilation * axis.code


@function
def settle(plan, stack, pitch, size, height, leaves, final, distance):
    """Combine the topmost lines of a stack of `height` as a binary counter of `leaves` carries;
    all, if `final`.

    The depth of a sum so grows with the logarithm of its length. Returns the new height.
    """
    while height > 1 and (final or leaves % 2 == 0):
        below = stack + (height - 2) * pitch * plan.itemsize
        above = below + pitch * plan.itemsize
        combine(plan, below, size, above, distance)
        leaves //= 2
        height -= 1
    return height


@function
def fold_leaf(
    plan, plan_address, buffers, tile, target, pitch, lines, line_step, depth, depths, row, rows,
    code,
):  # fmt: skip
    """Fold up to `LEAF` taps, of as many depths and rows, of each of some lines. The taps of a line
    lie `line_step` rows behind those of the one before.
    """
    size = tile.data * tile.channels
    codes = (plan.depth.code, plan.row.code, code)
    if plan.load == 0:
        source = tile.source + depth * plan.source.depth + row * plan.source.row
        source += tile.low * plan.source.column
        fold(
            plan, LIFT, target, pitch, lines, size, source, line_step * plan.source.row,
            (depths, plan.depth.dilation * plan.source.depth),
            (rows, plan.row.dilation * plan.source.row), codes, buffers.distance,
        )  # fmt: skip
        return
    loaded = (lines - 1) * line_step + rows
    part(plan, buffers.loaded, plan.loaded_size, ZERO, depths * loaded * size)
    line = size * plan.itemsize
    for d in range(depths):
        call(
            plan.load, (plan_address, buffers.loaded + d * loaded * line, size, plan.row.dilation,
            tile.source, tile.other, 0, 0, depth + d * plan.depth.dilation, row, loaded, tile.low,
            tile.data, tile.channels, 0))  # fmt: skip
    fold(
        plan, FOLD, target, pitch, lines, size, buffers.loaded, line_step * line,
        (depths, loaded * line), (rows, line), codes, buffers.distance,
    )  # fmt: skip


@function
def fold_taps(plan, plan_address, buffers, tile, target, depths, rows, code):
    """Fold all taps (depths x rows, each (first, count)) of one output row into a line."""
    size = tile.data * tile.channels
    first_depth, depth_count = depths
    first_row, row_count = rows
    if depth_count * row_count == 0:
        fill(plan, target, size, ONE, size, buffers.distance)
        return
    # Leaves run along the rows of a depth, or along depths where there is one row only.
    leaf_depths, leaf_rows = (LEAF, 1) if row_count == 1 else (1, LEAF)
    single = depth_count <= leaf_depths and row_count <= leaf_rows
    stack = target if single else buffers.levels
    height = leaves = depth = 0
    while depth < depth_count:
        depths_now = min(leaf_depths, depth_count - depth)
        row = 0
        while row < row_count:
            rows_now = min(leaf_rows, row_count - row)
            leaf = stack + height * plan.pitch * plan.itemsize
            if CHECKED and not single:
                part(plan, stack, plan.level_size, height * plan.pitch, size)
            fold_leaf(
                plan, plan_address, buffers, tile, leaf, size, ONE, ZERO,
                first_depth + depth * plan.depth.dilation, depths_now,
                first_row + row * plan.row.dilation, rows_now,
                code + depth * plan.depth.code + row * plan.row.code,
            )  # fmt: skip
            row += rows_now
            leaves += 1
            final = depth + depths_now == depth_count and row == row_count
            height = settle(
                plan, stack, plan.pitch, size, height + 1, leaves, final, buffers.distance
            )
        depth += depths_now
    if not single:
        fill(plan, target, size, ONE, size, buffers.distance)
        combine(plan, target, size, stack, buffers.distance)


@function
def store_places(plan, plan_address, buffers, tile, line, pitch, place, row, last_row):
    """The lines of places along the rows, the first of number `place`, to the rows of `out` from
    `row` to `last_row` and the depths that they stand for.
    """
    first_depth = max(output_of(plan.depth, tile.depth), 0)
    last_depth = min(output_of(plan.depth, tile.depth + 1), plan.depth.outputs)
    step = plan.row.period
    line_pitch = pitch * plan.row.phases
    for depth in range(first_depth, last_depth):
        # Rows a period apart are of the same phase.
        for first in range(row, min(row + step, last_row)):
            start = line + (place_of(plan.row, first) - place) * pitch * plan.itemsize
            rows = (last_row - first + step - 1) // step
            if plan.store:
                call(
                    plan.store, (plan_address, start, line_pitch, step, tile.source, tile.other,
                    tile.out, tile.extra, depth, first, rows, tile.column, tile.columns,
                    tile.channels, buffers.distance))  # fmt: skip
            else:
                target = tile.out + depth * plan.out.depth + first * plan.out.row
                fold(
                    plan, FOLD, target + tile.column * plan.out.column,
                    step * plan.out.row // plan.itemsize, rows, tile.columns * tile.channels, start,
                    line_pitch * plan.itemsize, (ONE, ZERO), (ONE, ZERO), (ZERO, ZERO, ZERO), ZERO,
                )  # fmt: skip


@function
def tile_of(plan, item, depth, tile, block, source, other, out, extra):
    """The tile of an item with the given numbers of an output depth, a tile and a block."""
    source, other, out, extra = item_addresses(plan, item, source, other, out, extra)
    channel = block * plan.block_channels
    column = tile * plan.tile_columns
    columns = min(plan.column.outputs - column, plan.tile_columns)
    channels = min(plan.channels - channel, plan.block_channels)
    phases = plan.column.phases
    window = place_of(plan.column, column) // phases
    windows = place_of(plan.column, column + columns - 1) // phases + 1 - window
    # The columns that the windows reach over, data in the middle.
    start = window * plan.column.stride - plan.column.before
    reach = (windows - 1) * plan.column.stride + (plan.column.kernel - 1) * plan.column.dilation + 1
    low = min(max(start, 0), plan.column.length)
    high = max(min(start + reach, plan.column.length), low)
    return Tile(
        source + channel * plan.source.channel,
        other + channel * plan.other.channel,
        out + channel * plan.out.channel,
        extra + channel * plan.extra.channel,
        depth,
        column,
        columns,
        windows,
        channels,
        low,
        high - low,
        min(max(low - start, 0), reach) * channels,
    )
