"""The backward pass of max: each output's gradient goes to the one input that its index names.

Every task owns a box of the input and reads the outputs whose windows reach into it, in C order. So
each sum has one order, whatever the number of threads, and no two threads write to the same place.
"""

import numpy as np
from numba import types

from numpool._cpu.memory import address_of, array_at, call, inline, keep, piece, read, write
from numpool._cpu.plan import PLAN_TYPE, WINDOW_TYPE
from numpool._cpu.rows import reader, scalar, stored_type
from numpool._cpu.walk import item_addresses


@inline
def place_of_position(window, position, output):
    """The coordinate that a position has along an axis, -1 where it is no tap of the window."""
    place = position // window.position_step % window.length
    ahead = place - output * window.stride + window.before
    if ahead < 0 or ahead % window.dilation or ahead // window.dilation >= window.kernel:
        return -1
    return place


@inline
def place_of_offset(window, offset, output):
    """The coordinate that an offset has along an axis, -1 where it is no tap that holds data."""
    tap = offset // window.offset_step % window.kernel
    place = output * window.stride - window.before + tap * window.dilation
    return place if 0 <= place < window.length else -1


@inline
def outputs_of(window, low, high):
    """The range of outputs whose windows may reach into [low, high)."""
    reach = (window.kernel - 1) * window.dilation
    first = max(-((reach - low - window.before) // window.stride), 0)
    return first, min((high - 1 + window.before) // window.stride + 1, window.outputs)


def make_scatter(computed, offsets, x_dtype, check):
    """The scatter of gradients of type `computed`, to positions or to `offsets`.

    `x_dtype`, if any: each gradient is multiplied by the sign of its tap (L-inf). `check` makes a
    kernel that writes no gradient: where an index is no tap that holds data of its own window, (1,
    index) enters the task's slot at `extra`.
    """
    place_of = place_of_offset if offsets else place_of_position
    if x_dtype is None:

        @inline
        def share(g, address):
            return g

    else:
        x_stored, convert_x = stored_type(x_dtype), reader(x_dtype, computed)

        @inline
        def share(g, address):
            return g * scalar.sign(convert_x(read(address, x_stored)))

    def scatter(
        plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        windows = array_at(plan.geometry, 3, WINDOW_TYPE)
        along_depth, along_rows, along_columns = windows[0], windows[1], windows[2]
        own_box = np.empty(plan.box_size, computed)
        own_line = np.empty(plan.line_size, computed)
        own_indices = np.empty(plan.line_size, np.int64)
        whole_box = array_at(address_of(own_box), own_box.size, computed)
        line = array_at(address_of(own_line), own_line.size, computed)
        indices = array_at(address_of(own_indices), own_indices.size, types.int64)
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
            source += channel * plan.source_channel
            other += channel * plan.other_channel
            out += channel * plan.out_channel
            extra += channel * plan.extra_channel
            # The box of the input that this task owns, and the outputs that reach into it.
            d0 = slab * plan.slab_depths
            d1 = min(d0 + plan.slab_depths, plan.depth_outputs)
            h0 = band * plan.band_rows
            h1 = min(h0 + plan.band_rows, plan.row_outputs)
            w0 = tile * plan.tile_columns
            w1 = min(w0 + plan.tile_columns, plan.column_outputs)
            width = (w1 - w0) * channels
            box = piece(whole_box, 0, (d1 - d0) * (h1 - h0) * width)
            for i in range(box.size):
                box[i] = 0
            first_depth, last_depth = outputs_of(along_depth, d0, d1)
            first_row, last_row = outputs_of(along_rows, h0, h1)
            first_column, last_column = outputs_of(along_columns, w0, w1)
            columns = max(last_column - first_column, 0)
            for od in range(first_depth, last_depth):
                for oh in range(first_row, last_row):
                    call(
                        plan.load_other, plan_address, address_of(indices), 0,
                        other + od * plan.other_depth + oh * plan.other_row, 0, 0,
                        od, oh, first_column, columns, channels,
                    )  # fmt: skip
                    if not check:
                        call(
                            plan.load, plan_address, address_of(line),
                            source + od * plan.source_depth + oh * plan.source_row, 0, 0, 0,
                            od, oh, first_column, columns, channels,
                        )  # fmt: skip
                    for i in range(columns * channels):
                        index = indices[i]
                        if index == plan.nowhere:
                            continue
                        w = i // channels
                        c = i - w * channels
                        d = place_of(along_depth, index, od)
                        h = place_of(along_rows, index, oh)
                        w = place_of(along_columns, index, first_column + w)
                        if check:
                            inside = 0 <= index < plan.index_limit
                            if not (inside and d >= 0 and h >= 0 and w >= 0):
                                write(extra_start + 16 * task, np.int64(1))
                                write(extra_start + 16 * task + 8, index)
                        elif d0 <= d < d1 and h0 <= h < h1 and w0 <= w < w1:
                            address = extra + d * plan.extra_depth
                            address += h * plan.extra_row + w * plan.extra_column
                            address += c * plan.extra_channel
                            at = ((d - d0) * (h1 - h0) + h - h0) * width + (w - w0) * channels + c
                            box[at] += share(line[i], address)
            if check:
                continue
            for d in range(d0, d1):
                for h in range(h0, h1):
                    at = ((d - d0) * (h1 - h0) + h - h0) * width
                    call(
                        plan.store, plan_address, address_of(piece(box, at, width)), 0, 0,
                        out + d * plan.out_depth + h * plan.out_row, 0,
                        d, h, w0, w1 - w0, channels,
                    )  # fmt: skip
        keep(own_box)
        keep(own_line)
        keep(own_indices)
        return last_task - first_task

    return scatter
