"""The walk over the windows: one body for every operator, rank, layout and direction.

Along each axis windows are either *slid*, neighbours sharing partial results, or *folded*, each on
its own. Rows (the depth and row taps of an output row) are folded into a line; along the line
windows slide, or are folded where they are longer than a line buffer or do not overlap.
"""

import numpy as np
from numba import types

from numpool._cpu.lines import combine_into, copy, fill, lift, part
from numpool._cpu.memory import (
    address_of,
    array_at,
    call,
    function,
    inline,
    keep,
    piece,
    read,
)
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.taps import taps_of
from numpool._cpu.windowing import fold, window_line

_NOTHING = -1  # the tag of a slot that holds no row


@inline
def single_lines(values, positions, start, size):
    """A line of values."""
    return piece(values, start, size)


@inline
def paired_lines(values, positions, start, size):
    """A line of (values, positions)."""
    return piece(values, start, size), piece(positions, start, size)


@inline
def single_result(line, positions):
    """The accumulators of a result row, whose values are `line`."""
    return line


@inline
def paired_result(line, positions):
    """The accumulators of a result row, whose values are `line`."""
    return line, positions


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


@function
def row_address(
    plan, plan_address, staging, itemsize, tags, slot,
    source, other, depth, row, column, columns, channels,
):  # fmt: skip
    """The address of a source row in the type the engine computes in: the array's own, or that of a
    loaded copy.

    Loaded rows are kept as long as neighbouring windows of the tile may want them, so that each is
    lifted once.
    """
    source += depth * plan.source.depth + row * plan.source.row
    if plan.load == 0:
        return source + column * plan.source.column
    tag = _NOTHING
    if plan.kept_rows > 0:
        slot = depth % plan.kept_depths * plan.kept_rows + row % plan.kept_rows
        tag = depth * plan.row.length + row
    address = staging + slot * plan.line_size * itemsize
    if tag == _NOTHING or tags[slot] != tag:
        other += depth * plan.other.depth + row * plan.other.row
        call(
            plan.load, plan_address, address, source, other, 0, 0,
            depth, row, column, columns, channels,
        )  # fmt: skip
        tags[slot] = tag
    return address


@inline
def settle(combine, line_at, values, positions, start, pitch, size, height, leaves, final):
    """Combine the topmost lines of a stack of `height` as a binary counter of `leaves` carries;
    all, if `final`.

    The depth of a sum so grows with the logarithm of its length. Returns the new height.
    """
    while height > 1 and (final or leaves % 2 == 0):
        below = start + (height - 2) * pitch
        combine_into(
            combine,
            line_at(values, positions, below, size),
            line_at(values, positions, below + pitch, size),
        )
        leaves //= 2
        height -= 1
    return height


def make_walk(combine, overlap, identity, dtype, pairs):
    """The walk for an operator: its `combine`, its `identity`, the type it computes in, whether its
    lines are pairs.
    """
    line_at = paired_lines if pairs else single_lines
    result_of = paired_result if pairs else single_result
    itemsize = np.dtype(str(dtype)).itemsize
    position_lines = 1 if pairs else 0

    @inline
    def reduce_rows(
        plan, plan_address, values, positions, margin, staging, tags, column_positions,
        source, other, depths, rows, column, columns, channels,
    ):  # fmt: skip
        """Fold the taps (depths x rows) of an output row into the first line, after `margin`.

        Three rows a pass, in the order of depth, then row.
        """
        first_depth, depth_count = depths
        first_row, row_count = rows
        size = columns * channels
        taps = depth_count * row_count
        if taps == 0:
            fill(line_at(values, positions, margin, size), identity)
        addresses = (np.int64(0), np.int64(0), np.int64(0))
        bases = (np.int64(0), np.int64(0), np.int64(0))
        height = leaves = done = d = r = 0
        while done < taps:
            together = min(3, taps - done)
            for i in range(3):
                if i < together:
                    depth = first_depth + d * plan.depth.step
                    row = first_row + r * plan.row.step
                    address = row_address(
                        plan, plan_address, staging, itemsize, tags, i,
                        source, other, depth, row, column, columns, channels,
                    )  # fmt: skip
                    base = depth * plan.depth_window.position_step
                    base += row * plan.row_window.position_step
                    r += 1
                    if r == row_count:
                        r = 0
                        d += 1
                addresses = (addresses[1], addresses[2], address)
                bases = (bases[1], bases[2], base)
            lift(
                combine,
                line_at(values, positions, margin + height * plan.line_size, size),
                together,
                array_at(addresses[0], size, dtype),
                array_at(addresses[1], size, dtype),
                array_at(addresses[2], size, dtype),
                bases,
                column_positions,
            )
            done += together
            leaves += 1
            height = settle(
                combine, line_at, values, positions, margin, plan.line_size, size,
                height + 1, leaves, done == taps,
            )  # fmt: skip

    @inline
    def fold_window(
        plan, plan_address, values, positions, spare, staging, tags,
        source, other, depths, rows, first, count, channels,
    ):  # fmt: skip
        """Fold one window of `count` column taps; returns the line of `channels` accumulators."""
        stack = spare + plan.line_size
        fill(line_at(values, positions, stack, channels), identity)
        height = pieces = done = 0
        while done < count:
            taps = min(plan.fold_taps, count - done)
            column = first + done * plan.column.step
            columns = (taps - 1) * plan.column.step + 1
            column_positions = number_columns(plan, positions, column, columns, channels)
            reduce_rows(
                plan, plan_address, values, positions, 0, staging, tags, column_positions,
                source, other, depths, rows, column, columns, channels,
            )  # fmt: skip
            folded = fold(
                combine,
                line_at(values, positions, 0, columns * channels),
                taps,
                plan.column.step * channels,
                channels,
                line_at(values, positions, spare, taps * channels),
            )
            copy(line_at(values, positions, stack + height * channels, channels), folded)
            done += taps
            pieces += 1
            height = settle(
                combine, line_at, values, positions, stack, channels, channels,
                height + 1, pieces, done == count,
            )  # fmt: skip
        return line_at(values, positions, stack, channels)

    @inline
    def number_columns(plan, positions, column, columns, channels):
        """What each element of a row adds to the position of the row."""
        if not pairs:
            return piece(positions, 0, 0)
        numbers = piece(positions, positions.size - plan.line_size, columns * channels)
        for w in range(columns):
            for c in range(channels):
                numbers[w * channels + c] = (column + w) * plan.column_window.position_step
        return numbers

    def walk(
        plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
    ):
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        line_size = plan.line_size
        # Lines: the levels of rows, three for sliding or folding, one for the result; pairs number
        # their columns.
        lines = plan.levels + 4
        kept = max(plan.kept_depths * plan.kept_rows, 3)
        own_values = np.empty((lines + kept) * line_size, dtype)
        own_positions = np.empty(position_lines * (lines + 1) * line_size, np.int64)
        own_tags = np.empty(kept, np.int64)
        values = array_at(address_of(own_values), lines * line_size, dtype)
        positions = array_at(address_of(own_positions), own_positions.size, types.int64)
        tags = array_at(address_of(own_tags), own_tags.size, types.int64)
        staging = address_of(own_values) + lines * line_size * itemsize
        spare = plan.levels * line_size
        last_place = -1
        for task in range(first_task, last_task):
            rest, block = divmod(task, plan.blocks)
            rest, tile = divmod(rest, plan.tiles)
            rest, band = divmod(rest, plan.bands)
            item, depth = divmod(rest, plan.depth.outputs)
            source, other, out, extra = item_addresses(
                plan, item, source_start, other_start, out_start, extra_start
            )
            channel = block * plan.block_channels
            channels = min(plan.channels - channel, plan.block_channels)
            source += channel * plan.source.channel
            other += channel * plan.other.channel
            out += channel * plan.out.channel + depth * plan.out.depth
            extra += channel * plan.extra.channel + depth * plan.extra.depth
            j0 = tile * plan.tile_columns
            outputs = min(plan.column.outputs - j0, plan.tile_columns)
            depths = taps_of(plan.depth, depth)
            place = (item * plan.tiles + tile) * plan.blocks + block
            if place != last_place:
                tags[:] = _NOTHING
                last_place = place

            # The line of a tile: the columns its windows reach over, data in the middle, a margin
            # on both sides.
            start = j0 * plan.column.stride - plan.column.before
            reach = (outputs - 1) * plan.column.stride
            reach += (plan.column.kernel - 1) * plan.column.dilation + 1
            low = min(max(start, 0), plan.column.length)
            high = max(min(start + reach, plan.column.length), low)
            margin = min(max(low - start, 0), reach) * channels
            size = (high - low) * channels
            reach *= channels
            if plan.slide:
                fill(line_at(values, positions, 0, margin), identity)
                after = margin + size
                fill(line_at(values, positions, after, reach - after), identity)
                column_positions = number_columns(plan, positions, low, high - low, channels)

            last_row = min((band + 1) * plan.band_rows, plan.row.outputs)
            for row in range(band * plan.band_rows, last_row):
                rows = taps_of(plan.row, row)
                out_row = out + row * plan.out.row
                extra_row = extra + row * plan.extra.row
                result_start = spare + 3 * line_size
                result = piece(values, result_start, outputs * channels)
                if plan.store == 0:
                    result = array_at(out_row + j0 * plan.out.column, outputs * channels, dtype)
                result_positions = piece(
                    positions, result_start * position_lines, outputs * channels * position_lines
                )
                accumulators = result_of(result, result_positions)
                if plan.slide:
                    reduce_rows(
                        plan, plan_address, values, positions, margin, staging, tags,
                        column_positions, source, other, depths, rows, low, high - low, channels,
                    )  # fmt: skip
                    window_line(
                        combine, overlap, accumulators,
                        line_at(values, positions, 0, reach),
                        plan.column.kernel, plan.column.stride, plan.column.dilation, channels,
                        line_at(values, positions, spare, line_size),
                        line_at(values, positions, spare + line_size, line_size),
                        line_at(values, positions, spare + 2 * line_size, line_size),
                    )  # fmt: skip
                else:
                    for j in range(outputs):
                        first, count = taps_of(plan.column, j0 + j)
                        folded = fold_window(
                            plan, plan_address, values, positions, spare, staging, tags,
                            source, other, depths, rows, first, count, channels,
                        )  # fmt: skip
                        copy(part(accumulators, j * channels, channels), folded)
                if plan.finish:
                    call(
                        plan.finish, plan_address, address_of(result), source, other, out_row,
                        extra_row, depth, row, j0, outputs, channels,
                    )  # fmt: skip
                if plan.store:
                    call(
                        plan.store, plan_address, address_of(result), source, other, out_row,
                        extra_row, depth, row, j0, outputs, channels,
                    )  # fmt: skip
                if pairs:
                    call(
                        plan.store_extra, plan_address, address_of(result_positions), source,
                        other, out_row, extra_row, depth, row, j0, outputs, channels,
                    )  # fmt: skip
        keep(own_values)
        keep(own_positions)
        keep(own_tags)
        return last_task - first_task

    return walk
