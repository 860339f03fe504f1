"""The walk over windows that do not fit a line, or hardly overlap: each is folded on its own, in
pieces, and these as a tree.
"""

from numpool._cpu.lines import LIFT_RUNS, REDUCE
from numpool._cpu.memory import ONE, ZERO, array_at, call_lines, function, keep
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.taps import output_of, place_of, taps_of
from numpool._cpu.tiles import (
    Tile,
    combine,
    fill,
    first_code,
    fold_taps,
    make_buffers,
    parts_of,
    settle,
    store_places,
    tile_of,
)
from numpool._cpu.windowing import LIFTED_TAPS


@function
def fold_columns(plan, plan_address, buffers, tile, row):
    """The windows of a place along the rows."""
    channels = tile.channels
    code = 0
    depths, rows = taps_of(plan.depth, tile.depth), taps_of(plan.row, row)
    if plan.coded:
        code += first_code(plan.depth, tile.depth, depths[0])
        code += first_code(plan.row, row, rows[0])
    stack = buffers.slid
    lag = plan.column.dilation * channels
    row_start = tile.source + tile.depth * plan.depth.stride * plan.source.depth
    row_start += row * plan.row.stride * plan.source.row
    for j in range(tile.columns):
        first, count = taps_of(plan.column, place_of(plan.column, tile.column + j))
        column_code = 0
        if plan.coded:
            column_code = first_code(plan.column, tile.column + j, first)
        fill(plan, stack, channels, ONE, channels, buffers.distance)
        height = pieces = done = 0
        while done < count:
            taps = min(plan.fold_columns, count - done)
            data = (taps - 1) * plan.column.dilation + 1
            low = first + done * plan.column.dilation
            line, target = buffers.laid, stack + height * channels * plan.itemsize
            lifted = plan.lift_runs and taps >= LIFTED_TAPS
            if plan.source_lines and (lifted or not plan.lift_runs):
                line = row_start + low * plan.source.column
            else:
                piece = Tile(
                    tile.source, tile.other, tile.out, tile.extra, tile.depth, tile.column + j, 1,
                    1, channels, low, data, 0,
                )  # fmt: skip
                fold_taps(
                    plan, plan_address, buffers, piece, line, depths, rows,
                    code + column_code + done * plan.column.code,
                )  # fmt: skip
            if lifted:
                call_lines(
                    plan.lines, (LIFT_RUNS, target, ONE, ONE, ONE, line, ONE, taps, taps, taps)
                )
            else:
                call_lines(
                    plan.lines, (REDUCE, target, channels, line, data * channels, taps, lag,
                    plan.column.code, buffers.spare, plan.spare_size, buffers.distance)
                )  # fmt: skip
            done += taps
            pieces += 1
            height = settle(
                plan, stack, channels, channels, height + 1, pieces, done == count,
                buffers.distance,
            )  # fmt: skip
        target = buffers.result + j * channels * plan.itemsize
        fill(plan, target, channels, ONE, channels, buffers.distance)
        combine(plan, target, channels, stack, buffers.distance)


def walk_long_windows(
    plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
):  # fmt: skip
    plan = array_at(plan_address, 1, PLAN_TYPE)[0]
    memory, buffers = make_buffers(plan)
    for task in range(first_task, last_task):
        block, number, band, depth, item = parts_of(plan, task)
        tile = tile_of(
            plan, item, depth, number, block, source_start, other_start, out_start, extra_start
        )
        first_row = band * plan.band_rows
        last_row = min(first_row + plan.band_rows, plan.row.outputs)
        for place in range(place_of(plan.row, first_row), place_of(plan.row, last_row - 1) + 1):
            fold_columns(plan, plan_address, buffers, tile, place)
            row = max(output_of(plan.row, place), first_row)
            next_row = min(output_of(plan.row, place + 1), last_row)
            store_places(
                plan, plan_address, buffers, tile, buffers.result, ZERO, place, row, next_row
            )
    keep(memory)
    return last_task - first_task
