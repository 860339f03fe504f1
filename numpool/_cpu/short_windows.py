"""The walk over short windows along rows of single columns, where the source holds rows of elements
that lie side by side: rows of the source go in, rows of results come out (short_loops.py).

It is otherwise that of walk.py. Nothing is laid out, so that it compiles in a third of the time. It
ends early where a root was taken of a sum that may have lost digits to underflow or overflow.
"""

from numpool._cpu.memory import ONE, ZERO, aligned_memory, array_at, call, call_walk, function, keep
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.rows import columns_of_divisor, equally_divided
from numpool._cpu.taps import divisor_of_row, taps_of
from numpool._cpu.tiles import part, parts_of, tile_of


@function
def window_source(plan, tile, planes, target, pitch, step, first, last):
    """The windows of some rows of a tile, of so many planes, to columns and rows so many bytes
    apart. Returns whether all that have roots are within limits.
    """
    window, channels = plan.column_window, tile.channels
    first_shared, last_shared = 0, tile.columns
    if plan.divided:
        first_shared, last_shared = equally_divided(window, tile.column, tile.columns)
    depths = taps_of(plan.depth, tile.depth)
    start = tile.source + depths[0] * plan.source.depth + tile.low * plan.source.column
    # Rows whose taps all hold data, and so have the same divisor, go together. The others follow,
    # as their data is in the cache by then: 0.5 of the time where planes are many.
    regular = min(max(plan.row.regular_first, first), last)
    regular_last = max(min(plan.row.regular_last, last), regular)
    edges = regular - first + last - regular_last
    for edge in range(-1, edges):
        row, run = regular, regular_last - regular
        if edge >= 0:
            row = first + edge if edge < regular - first else last - edges + edge
            run = 1
        taps = taps_of(plan.row, row)
        row_divisor = divisor_of_row(plan, tile.depth, row) if plan.divided else 1.0
        for number in range(-1, first_shared + tile.columns - last_shared):
            column, last_column, divisor = columns_of_divisor(
                window, tile.column, first_shared, last_shared, number
            )
            low = row_divisor * divisor if plan.divided else plan.low
            outside = call_walk(
                plan.short, (low, plan.high, plan.column.kernel, plan.column.stride,
                target + (row - first) * pitch + column * step, pitch, run,
                (last_column - column) * channels,
                start + taps[0] * plan.source.row, plan.row.stride * plan.source.row,
                tile.data * channels, tile.margin - column * plan.column.stride * channels,
                depths[1], plan.depth.dilation * plan.source.depth,
                taps[1], plan.row.dilation * plan.source.row,
                plan.row.stride, plan.row.dilation,
                planes, plan.source_plane, plan.out_plane))  # fmt: skip
            if outside:
                return False
    return True


def walk_short_windows(
    plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
):  # fmt: skip
    plan = array_at(plan_address, 1, PLAN_TYPE)[0]
    itemsize, pitch = plan.channels * plan.itemsize, plan.result_pitch * plan.itemsize
    memory, results = aligned_memory(plan.result_size * plan.itemsize)
    for task in range(first_task, last_task):
        block, number, band, depth, item = parts_of(plan, task)
        tile = tile_of(
            plan, item, depth, number, block, source_start, other_start, out_start, extra_start
        )
        planes = min(plan.item_planes, plan.planes - item % plan.plane_items * plan.item_planes)
        out = tile.out + depth * plan.out.depth + tile.column * plan.out.column
        row = band * plan.band_rows
        last_row = min(row + plan.band_rows, plan.row.outputs)
        while row < last_row:
            rows = min(plan.batch_rows, last_row - row)
            if plan.out_lines:
                target = out + row * plan.out.row
                within = window_source(
                    plan, tile, planes, target, plan.out.row, plan.out.column, row, row + rows
                )
            else:
                part(plan, results, plan.result_size, ZERO, rows * plan.result_pitch)
                within = window_source(plan, tile, ONE, results, pitch, itemsize, row, row + rows)
                call(
                    plan.store, (plan_address, results, plan.result_pitch, 1, tile.source,
                    tile.other, tile.out, tile.extra, depth, row, rows, tile.column, tile.columns,
                    tile.channels, 0))  # fmt: skip
            if not within:
                keep(memory)
                return task - first_task
            row += rows
    keep(memory)
    return last_task - first_task
