"""What walks have in common: they go from output tile to output tile, source rows become lines
there, and windows are taken along these.
"""

from numpool._cpu.lines import LIFT_RUNS, WINDOW
from numpool._cpu.memory import (
    CHECKED,
    ONE,
    ZERO,
    array_at,
    call,
    call_lines,
    function,
    inline,
    keep,
)
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.taps import output_of, taps_of
from numpool._cpu.tiles import (
    LEAF,
    fill,
    first_code,
    fold_leaf,
    fold_taps,
    make_buffers,
    part,
    parts_of,
    tile_of,
)


@function
def lay_rows(plan, plan_address, buffers, tile, target, target_pitch, first, rows):
    """Lay out lines `first` to `first + rows` of the tile, the first at `target`.

    A line is a place along the rows, or where windows slide over rows one of the padded input,
    counted from its first.
    """
    depths = taps_of(plan.depth, tile.depth)
    depth_code = first_code(plan.depth, tile.depth, depths[0]) if plan.coded else ZERO
    size = tile.data * tile.channels
    phases = plan.row.phases
    pitch = phases * target_pitch
    for phase in range(min(phases, rows)):
        row = first + phase
        while row < first + rows:
            line = target + ((row - first) * target_pitch + tile.margin) * plan.itemsize
            # The taps of this line, and how many lines of its phase that follow have theirs in the
            # same places.
            run = 1
            code = depth_code
            if plan.slide_rows:
                taps = (row, 1) if 0 <= row < plan.row.length else (0, 0)
                last = plan.row.length if row >= 0 else 0
                run = max(min(last, first + rows) - row, 1) if row < last else first + rows - row
                step = 1
            else:
                taps = taps_of(plan.row, row)
                if plan.row.regular_first <= row < plan.row.regular_last:
                    last = min(plan.row.regular_last, first + rows)
                    run = last - row if phases == 1 else (last - row + phases - 1) // phases
                step = plan.row.stride
                if plan.coded:
                    code += first_code(plan.row, row, taps[0])
            if taps[1] == 0 or depths[1] == 0:
                fill(plan, line, pitch, run, size, buffers.distance)
            elif plan.load and depths[1] * taps[1] == 1 and not plan.coded:
                call(
                    plan.load, (plan_address, line, pitch, step, tile.source, tile.other, 0, 0,
                    depths[0], taps[0], run, tile.low, tile.data, tile.channels, 0))  # fmt: skip
            elif depths[1] * taps[1] <= LEAF:
                if plan.load and (plan.row.dilation > 1 or step > taps[1]):
                    run = 1  # else rows would be loaded that are no taps
                elif plan.load:
                    most = plan.loaded_size // max(depths[1] * size, 1)
                    run = max(min(run, (most - taps[1]) // step + 1), 1)
                fold_leaf(
                    plan, plan_address, buffers, tile, line, pitch, run, step, depths[0], depths[1],
                    taps[0], taps[1], code,
                )  # fmt: skip
            else:
                run = 1
                fold_taps(plan, plan_address, buffers, tile, line, depths, taps, code)
            row += run * phases


@function
def window_rows(plan, buffers, tile, line, line_pitch, rows, result, result_pitch, taps):
    """The windows along the columns of some lines."""
    windows, pitch, count = tile.windows, line_pitch, rows
    if plan.flat:
        # One line, whose windows from the end of a row to the next are of no use to anybody.
        windows += (rows - 1) * (line_pitch // (plan.column.stride * tile.channels))
        count = 1
    reach = (windows - 1) * plan.column.stride + (taps - 1) * plan.column.dilation + 1
    if CHECKED and line == buffers.laid:
        part(plan, line, plan.laid_size, (count - 1) * pitch, reach * tile.channels)
    if plan.lift_runs and line != buffers.laid:
        call_lines(
            plan.lines,
            (LIFT_RUNS, result, result_pitch, count, windows, line, pitch, reach, taps,
             plan.column.stride),
        )  # fmt: skip
        return
    call_lines(
        plan.lines, (WINDOW, result, result_pitch, count, windows, line, pitch,
        reach * tile.channels, tile.channels, taps, plan.column.stride,
        plan.column.dilation, plan.column.code, buffers.spare, plan.spare_size,
        buffers.distance))  # fmt: skip


@inline
def out_row(plan, tile, row):
    """The address of a tile's part of a row of `out`, where a place along depth is one output."""
    depth = output_of(plan.depth, tile.depth)
    start = tile.out + depth * plan.out.depth + row * plan.out.row
    return start + tile.column * plan.out.column


@function
def lay_margins(plan, buffers, tile):
    """Fill what lies before and after the data of all lines."""
    start = tile.margin + tile.data * tile.channels
    for r in range(plan.batch_rows + 1):
        line = r * plan.pitch
        before = min(tile.margin, plan.laid_size - line)
        fill(plan, part(plan, buffers.laid, plan.laid_size, line, before), ZERO, ONE, before,
             buffers.distance)  # fmt: skip
        after = min(plan.pitch, plan.laid_size - line) - start
        if after > 0:
            line += start
            fill(plan, part(plan, buffers.laid, plan.laid_size, line, after), ZERO, ONE, after,
                 buffers.distance)  # fmt: skip


def make_walk(work):
    """A walk that does `work` on the rows of each tile."""

    def walk(
        plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
    ):  # fmt: skip
        plan = array_at(plan_address, 1, PLAN_TYPE)[0]
        memory, buffers = make_buffers(plan)
        margin = data = channels = -1
        for task in range(first_task, last_task):
            block, number, band, depth, item = parts_of(plan, task)
            tile = tile_of(
                plan, item, depth, number, block, source_start, other_start, out_start, extra_start
            )
            if (tile.margin, tile.data, tile.channels) != (margin, data, channels):
                margin, data, channels = tile.margin, tile.data, tile.channels
                lay_margins(plan, buffers, tile)
            first_row = band * plan.band_rows
            last_row = min(first_row + plan.band_rows, plan.row.outputs)
            work(plan, plan_address, buffers, tile, first_row, last_row)
        keep(memory)
        return last_task - first_task

    return walk
