"""The backward pass of max: each output's gradient goes to the one input that its index names.

Every task owns a box of the input and reads the outputs whose windows reach into it, in C order. So
each sum has one order, whatever the number of threads, and no two threads write to the same place.
A box is one range of places, numbered through depth, rows and columns as the engine walks them.
"""

import numpy as np
from numba import types

from numpool._cpu.memory import address_of, array_at, call, inline, keep, piece, read, write
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import reader, scalar, stored_type
from numpool._cpu.walk import item_addresses

NOWHERE = -1  # the place of a window without data


@inline
def coordinate_of_position(window, position, output):
    """The coordinate that a position has along an axis, -1 where it is no tap of the window."""
    place = position // window.position_step % window.length
    ahead = place - output * window.stride + window.before
    if ahead < 0 or ahead % window.dilation or ahead // window.dilation >= window.kernel:
        return -1
    return place


@inline
def coordinate_of_offset(window, offset, output):
    """The coordinate that an offset has along an axis, -1 where it is no tap that holds data."""
    # Unsigned: a window may have up to 2**64 taps.
    tap = types.uint64(offset) // types.uint64(window.offset_step) % types.uint64(window.kernel)
    tap = types.int64(tap)
    place = output * window.stride - window.before + tap * window.dilation
    return place if 0 <= place < window.length else -1


@inline
def outputs_of(window, low, high):
    """The range of outputs whose windows may reach into [low, high)."""
    reach = (window.kernel - 1) * window.dilation
    first = max(-((reach - low - window.before) // window.stride), 0)
    return first, min((high - 1 + window.before) // window.stride + 1, window.outputs)


def make_load_places(dtype, offsets):
    """Load: a row of indices as places, -1 where an index names no tap of its window.

    By a table of what each offset adds to the window's place, or as they are where positions and
    places are numbered alike; else by divisions, which cost 5 times the rest of the scatter.
    """
    stored = stored_type(dtype)
    coordinate = coordinate_of_offset if offsets else coordinate_of_position

    @inline
    def place(plan, index, depth, row, column):
        d = coordinate(plan.depth_window, index, depth)
        h = coordinate(plan.row_window, index, row)
        w = coordinate(plan.column_window, index, column)
        if d < 0 or h < 0 or w < 0:
            return NOWHERE
        return (d * plan.row_window.length + h) * plan.column_window.length + w

    def load_places(
        plan_address, line, source, other, out, extra, depth, row, column, columns, channels
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        along_depth, along_rows = plan.depth_window, plan.row_window
        along_columns = plan.column_window
        places = array_at(line, columns * channels, types.int64)
        base = depth * along_depth.stride - along_depth.before
        base = base * along_rows.length + row * along_rows.stride - along_rows.before
        base = base * along_columns.length - along_columns.before
        for w in range(columns):
            start = base + (column + w) * along_columns.stride
            for c in range(channels):
                address = other + (column + w) * plan.other.column + c * plan.other.channel
                index = types.int64(read(address, stored))
                if index == plan.nowhere:
                    found = NOWHERE
                elif plan.direct_places == 0:
                    found = place(plan, index, depth, row, column + w)
                elif offsets:
                    found = start + read(plan.direct_places + 8 * index, types.int64)
                else:
                    found = index
                places[w * channels + c] = found

    return load_places


def make_check(dtype, offsets):
    """The check of indices, a walk over the outputs that comes before anything is written.

    Where an index is no tap that holds data of its own window, (1, index) enters the task's slot at
    `extra`.
    """
    stored = stored_type(dtype)
    coordinate = coordinate_of_offset if offsets else coordinate_of_position

    def check(
        plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        along_depth, along_rows = plan.depth_window, plan.row_window
        along_columns = plan.column_window
        for item in range(first_task, last_task):
            _, other, _, _ = item_addresses(plan, item, 0, other_start, 0, 0)
            for od in range(along_depth.outputs):
                for oh in range(along_rows.outputs):
                    for ow in range(along_columns.outputs):
                        start = other + od * plan.other.depth + oh * plan.other.row
                        start += ow * plan.other.column
                        for c in range(plan.channels):
                            index = types.int64(read(start + c * plan.other.channel, stored))
                            if index == plan.nowhere:
                                continue
                            if (
                                types.uint64(index) >= types.uint64(plan.index_limit)
                                or coordinate(along_depth, index, od) < 0
                                or coordinate(along_rows, index, oh) < 0
                                or coordinate(along_columns, index, ow) < 0
                            ):
                                write(extra_start + 16 * item, types.int64(1))
                                write(extra_start + 16 * item + 8, index)
        return last_task - first_task

    return check


def make_scatter(computed, x_dtype):
    """The scatter of gradients of type `computed`.

    With an `x_dtype` each gradient is multiplied by the sign of its tap (L-inf).
    """
    if x_dtype is None:

        @inline
        def share(plan, g, extra, place):
            return g

    else:
        x_stored, convert_x = stored_type(x_dtype), reader(x_dtype, computed)

        @inline
        def share(plan, g, extra, place):
            rest, w = divmod(place, plan.column_window.length)
            d, h = divmod(rest, plan.row_window.length)
            address = extra + d * plan.extra.depth + h * plan.extra.row + w * plan.extra.column
            return computed(scalar.toward(g, convert_x(read(address, x_stored))))

    def scatter(
        plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        along_depth, along_rows = plan.depth_window, plan.row_window
        along_columns = plan.column_window
        height, width = along_rows.length, along_columns.length
        own_box = np.empty(plan.box_size, computed)
        own_line = np.empty(plan.line_size, computed)
        own_places = np.empty(plan.line_size, np.int64)
        whole_box = array_at(address_of(own_box), own_box.size, computed)
        line = array_at(address_of(own_line), own_line.size, computed)
        places = array_at(address_of(own_places), own_places.size, types.int64)
        for task in range(first_task, last_task):
            rest, block = divmod(task, plan.blocks)
            rest, tile = divmod(rest, plan.tiles)
            rest, band = divmod(rest, plan.bands)
            item, slab = divmod(rest, plan.slabs)
            source, other, out, extra = item_addresses(
                plan, item, source_start, other_start, out_start, extra_start
            )
            channel = block * plan.block_channels
            channels = min(plan.channels - channel, plan.block_channels)
            source += channel * plan.source.channel
            other += channel * plan.other.channel
            out += channel * plan.out.channel
            extra += channel * plan.extra.channel
            # The box of the input that this task owns, and the outputs that reach into it.
            d0 = slab * plan.slab_depths
            d1 = min(d0 + plan.slab_depths, along_depth.length)
            h0 = band * plan.band_rows
            h1 = min(h0 + plan.band_rows, height)
            w0 = tile * plan.tile_columns
            w1 = min(w0 + plan.tile_columns, width)
            first_place = (d0 * height + h0) * width + w0
            count = (d1 - d0) * (h1 - h0) * (w1 - w0)
            box = piece(whole_box, 0, count * channels)
            for i in range(box.size):
                box[i] = 0
            first_depth, last_depth = outputs_of(along_depth, d0, d1)
            first_row, last_row = outputs_of(along_rows, h0, h1)
            first_column, last_column = outputs_of(along_columns, w0, w1)
            columns = max(last_column - first_column, 0)
            for od in range(first_depth, last_depth):
                for oh in range(first_row, last_row):
                    call(
                        plan.load_other, plan_address, address_of(places), 0,
                        other + od * plan.other.depth + oh * plan.other.row, 0, 0,
                        od, oh, first_column, columns, channels,
                    )  # fmt: skip
                    call(
                        plan.load, plan_address, address_of(line),
                        source + od * plan.source.depth + oh * plan.source.row, 0, 0, 0,
                        od, oh, first_column, columns, channels,
                    )  # fmt: skip
                    for w in range(columns):
                        for c in range(channels):
                            place = places[w * channels + c]
                            if first_place <= place < first_place + count:
                                g = line[w * channels + c]
                                x_start = extra + c * plan.extra.channel
                                g = share(plan, g, x_start, place)
                                box[(place - first_place) * channels + c] += g
            columns = w1 - w0
            for d in range(d0, d1):
                for h in range(h0, h1):
                    start = ((d - d0) * (h1 - h0) + h - h0) * columns * channels
                    results = piece(box, start, columns * channels)
                    call(
                        plan.store, plan_address, address_of(results), 0, 0,
                        out + d * plan.out.depth + h * plan.out.row, 0,
                        d, h, w0, columns, channels,
                    )  # fmt: skip
        keep(own_box)
        keep(own_line)
        keep(own_places)
        return last_task - first_task

    return scatter
