"""The backward pass of max: each output's gradient goes to the one input that its index names.

Every task owns a box of the input and reads the outputs whose windows reach into it, in C order. So
each sum has one order, whatever the number of threads, and no two threads write to the same place.
The outputs are taken in lines of up to two thousand, of part of a row or of many small planes.
"""

import numpy as np
from numba import types

from numpool._cpu.memory import address_of, array_at, call, inline, keep, piece, read
from numpool._cpu.scatter_masks import inside
from numpool._cpu.scatter_plan import AXIS_TYPE, SCATTER_TYPE


@inline
def outputs_of(axis, low, high):
    """The range of outputs whose windows may reach into [low, high), at the ends of the axis with
    those that hold no data: so every output is in the range of some box.
    """
    first, last = 0, axis.outputs
    if low > 0:
        first = max(-((axis.reach - 1 - low - axis.before) // axis.stride), 0)
    if high < axis.length:
        last = min((high - 1 + axis.before) // axis.stride + 1, axis.outputs)
    return first, max(last, first)


@inline
def fill(values, value):
    for i in range(values.size):
        values[i] = value


def make_scatter(computed):
    """The scatter of gradients of the numba type `computed`.

    Without `out` indices are checked alone. Those that are wrong are entered at `extra`, two
    numbers for each task; without it, the scatter fails. For a signed scatter `extra` is x.
    """

    def scatter(
        plan_address, gradient_start, indices_start, out_start, extra_start, first_task, last_task
    ):  # fmt: skip
        plan = array_at(plan_address, 1, SCATTER_TYPE)[0]
        axes = array_at(plan.axes, 3, AXIS_TYPE)
        along_depth, along_rows, along_columns = axes[0], axes[1], axes[2]
        n = plan.line_size
        # A sum that begins with -0.0 tells whether there was anything to add: see `signed`.
        nothing = computed(-0.0 if plan.sign else 0.0)
        own_numbers = np.empty(2 * n, np.int64)
        own_indices = np.empty(0 if plan.indices.dense else n, np.int64)
        own_codes = np.empty(n, np.uint8)
        own_line = np.empty(n, computed)
        own_box = np.empty(0 if plan.direct else plan.box_size, computed)
        own_limits = np.zeros(9, np.int64)
        own_found = np.zeros(2, np.int64)
        codes, numbers = address_of(own_codes), address_of(own_numbers)
        limits = array_at(address_of(own_limits), 9, types.int64)
        for task in range(first_task, last_task):
            at, block = divmod(task, plan.blocks)
            at, tile = divmod(at, along_columns.boxes)
            at, band = divmod(at, along_rows.boxes)
            at, slab = divmod(at, along_depth.boxes)
            at, group = divmod(at, plan.groups)
            # The last block reaches back over channels of the one before, which come out the same.
            channels = plan.block_channels
            channel = min(block * channels, plan.channels - channels)
            item = group * plan.group
            items = min(plan.items - item, plan.group)
            d0 = slab * along_depth.box
            d1 = min(d0 + along_depth.box, along_depth.length)
            h0 = band * along_rows.box
            h1 = min(h0 + along_rows.box, along_rows.length)
            w0 = tile * along_columns.box
            w1 = min(w0 + along_columns.box, along_columns.length)
            limits[1], limits[2] = d0, d1
            limits[4], limits[5] = h0, h1
            limits[7], limits[8] = w0, w1
            gradient = gradient_start + item * plan.gradient.item + channel * plan.gradient.channel
            indices = indices_start + item * plan.indices.item + channel * plan.indices.channel
            out = out_start + item * plan.out.item + channel * plan.out.channel
            out += d0 * plan.out.depth + h0 * plan.out.row + w0 * plan.out.column
            x = extra_start + item * plan.x.item + channel * plan.x.channel
            x += d0 * plan.x.depth + h0 * plan.x.row + w0 * plan.x.column
            for axis in range(plan.batch_axes):
                entry = plan.batch + axis * 40
                at, index = divmod(at, read(entry, types.int64))
                gradient += index * read(entry + 8, types.int64)
                indices += index * read(entry + 16, types.int64)
                out += index * read(entry + 24, types.int64)
                x += index * read(entry + 32, types.int64)
            found = address_of(own_found)
            if extra_start and not plan.sign:
                found = extra_start + 16 * task

            chunk = (h1 - h0) * (w1 - w0) * channels
            extent = (items - 1) * plan.item_step + (d1 - d0 - 1) * along_depth.step
            extent += (h1 - h0 - 1) * along_rows.step + (w1 - w0 - 1) * along_columns.step
            extent += channels
            box = array_at(out if plan.direct else address_of(own_box), extent, computed)
            if out_start:
                if plan.direct == 0 or extent == items * (d1 - d0) * chunk:
                    fill(box, nothing)
                else:
                    for d in range(d1 - d0):
                        fill(piece(box, d * along_depth.step, chunk), nothing)

            first_depth, last_depth = outputs_of(along_depth, d0, d1)
            first_row, last_row = outputs_of(along_rows, h0, h1)
            first_column, last_column = outputs_of(along_columns, w0, w1)
            line_depths = max(last_depth - first_depth, 1) if plan.whole else 1
            for od in range(first_depth, last_depth, line_depths):
                for oh in range(first_row, last_row, plan.line_rows):
                    rows = min(last_row - oh, plan.line_rows)
                    for ow in range(first_column, last_column, plan.line_columns):
                        columns = min(last_column - ow, plan.line_columns)
                        size = items * line_depths * rows * columns * channels
                        limits[0] = od * along_depth.stride - along_depth.before
                        limits[3] = oh * along_rows.stride - along_rows.before
                        limits[6] = ow * along_columns.stride - along_columns.before
                        # Masks of taps know where columns are near the edge, if any are.
                        masks = plan.masks
                        if plan.masked_columns:
                            masks += 4 * ow * plan.block_channels
                        elif not inside(along_columns, limits[6], columns, w0, w1):
                            masks = 0
                        index_start = indices + od * plan.indices.depth + oh * plan.indices.row
                        index_start += ow * plan.indices.column
                        call(plan.number if masks else plan.locate, (plan_address,
                            index_start, address_of(own_indices), numbers, codes, size,
                            address_of(limits), masks, found, items, line_depths, rows, columns,
                            channels))  # fmt: skip
                        if out_start == 0:
                            continue
                        source = gradient + od * plan.gradient.depth + oh * plan.gradient.row
                        source += ow * plan.gradient.column
                        if plan.load:
                            call(plan.load, (plan_address, address_of(own_line), source, size,
                                items, line_depths, rows, columns, channels))  # fmt: skip
                            source = address_of(own_line)
                        start = (limits[0] - d0) * along_depth.step
                        start += (limits[3] - h0) * along_rows.step
                        start += (limits[6] - w0) * along_columns.step
                        if plan.by_positions:
                            start = d0 * along_depth.position_step + h0 * along_rows.position_step
                            start += w0 * along_columns.position_step
                        call(plan.add, (plan_address, address_of(box), extent,
                            codes if plan.numbered else numbers, source, size,
                            size if plan.flat else columns * channels, start,
                            index_start))  # fmt: skip
            if out_start and plan.sign:
                call(plan.sign, (plan_address, address_of(box), x,
                    items, d1 - d0, h1 - h0, w1 - w0, channels))  # fmt: skip
            if out_start and plan.direct == 0:
                call(plan.store, (plan_address, address_of(box), out,
                    items, d1 - d0, h1 - h0, w1 - w0, channels))  # fmt: skip
        keep(own_numbers)
        keep(own_indices)
        keep(own_codes)
        keep(own_line)
        keep(own_box)
        keep(own_limits)
        wrong = own_found[0]
        return last_task - first_task if wrong == 0 else 0

    return scatter
