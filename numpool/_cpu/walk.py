"""The walk over the windows: one body for every operator, type, rank, layout and direction.

It goes from output tile to output tile and does four steps on each:

    lay out    source rows become lines in a buffer, with room for padding at both ends; depth taps,
               and row taps where windows are folded, are combined on the way
    columns    windows along the lines; backward, they are spread over the positions that share them
    rows       windows over the lines, where they slide there too
    store      the results are finished and go to `out`: backward, a line to all rows that share it

The lines are made by the line kernel (lines.py) and the row functions (rows.py), which the walk
calls by address: it knows of sizes and places only, and is compiled once. Where nothing has to be
laid out, source rows serve as lines, and where nothing has to be finished, lines end in `out`.

Windows longer than a line buffer are not for this walk: see long_windows.py.
"""

from numpool._cpu.lines import SLIDE_LINE, WINDOW
from numpool._cpu.memory import CHECKED, ONE, ZERO, array_at, call, function, inline, keep
from numpool._cpu.plan import PLAN_TYPE
from numpool._cpu.row_windows import slide_rows
from numpool._cpu.taps import output_of, place_of, taps_of
from numpool._cpu.tiles import (
    LEAF,
    fill,
    first_code,
    fold_leaf,
    fold_taps,
    make_buffers,
    part,
    parts_of,
    store_places,
    tile_of,
)


@function
def lay_rows(plan, plan_address, buffers, tile, target, first, rows):
    """Lay out lines `first` to `first + rows` of the tile, the first at `target`.

    A line is a place along the rows, or where windows slide over rows one of the padded input,
    counted from its first.
    """
    depths = taps_of(plan.depth, tile.depth)
    depth_code = first_code(plan.depth, tile.depth, depths[0]) if plan.coded else ZERO
    size = tile.data * tile.channels
    phases = plan.row.phases
    pitch = phases * plan.pitch
    for phase in range(min(phases, rows)):
        row = first + phase
        while row < first + rows:
            line = target + ((row - first) * plan.pitch + tile.margin) * plan.itemsize
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
    call(
        plan.lines, (WINDOW, result, result_pitch, count, windows, line, pitch,
        reach * tile.channels, tile.channels, taps, plan.column.stride,
        plan.column.dilation, plan.column.code, buffers.spare, plan.spare_size,
        buffers.distance))  # fmt: skip


@inline
def spread_rows(plan, buffers, tile, rows, target, target_pitch):
    """The columns of some lines from the windows of their periods."""
    column = plan.column
    pitch = plan.result_pitch
    most, fewer = buffers.result, buffers.result + plan.result_size // 2 * plan.itemsize
    window_rows(plan, buffers, tile, buffers.laid, plan.pitch, rows, most, pitch, column.kernel)
    if column.phases > 1:
        if column.fewer > 0:
            line = buffers.laid + column.dilation * tile.channels * plan.itemsize
            window_rows(plan, buffers, tile, line, plan.pitch, rows, fewer, pitch, column.fewer)
        else:
            size = (rows - 1) * pitch + tile.windows * tile.channels
            fill(plan, fewer, ZERO, ONE, size, buffers.distance)
    count, columns = rows, tile.columns
    if plan.flat:
        columns += (rows - 1) * (target_pitch // tile.channels)
        count = 1
    start = (tile.column + column.origin) % column.period
    call(
        plan.spread, (target, target_pitch, count, columns * tile.channels, most, fewer, pitch,
        tile.channels, column.period, column.wide, start))  # fmt: skip


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


@inline
def out_row(plan, tile, row):
    """The address of a tile's part of a row of `out`, where a place along depth is one output."""
    depth = output_of(plan.depth, tile.depth)
    start = tile.out + depth * plan.out.depth + row * plan.out.row
    return start + tile.column * plan.out.column


@function
def work_folded(plan, plan_address, buffers, tile, first_row, last_row):
    """A band of rows, whose row taps are folded."""
    place = place_of(plan.row, first_row)
    last_place = place_of(plan.row, last_row - 1) + 1
    while place < last_place:
        lines = min(plan.batch_rows, last_place - place)
        row = max(output_of(plan.row, place), first_row)
        next_row = min(output_of(plan.row, place + lines), last_row)
        line, line_pitch = buffers.laid, plan.pitch
        if plan.source_lines and tile.margin == 0:
            step = plan.row.stride * plan.source.row
            line = tile.source + tile.depth * plan.depth.stride * plan.source.depth + row * step
            line += tile.low * plan.source.column
            line_pitch = step // plan.itemsize
        else:
            lay_rows(plan, plan_address, buffers, tile, line, place, lines)
        # Where lines go to.
        target, pitch = buffers.result, plan.result_pitch
        if plan.spread_pitch:
            target, pitch = buffers.slid, plan.spread_pitch
        if plan.out_lines:
            target, pitch = out_row(plan, tile, row), plan.out.row // plan.itemsize
        if plan.spread_pitch:
            spread_rows(plan, buffers, tile, lines, target, pitch)
        else:
            taps = plan.column.kernel
            window_rows(plan, buffers, tile, line, line_pitch, lines, target, pitch, taps)
        if not plan.out_lines:
            store_places(plan, plan_address, buffers, tile, target, pitch, place, row, next_row)
        place += lines


@inline
def lines_of(plan, first_row, last_row):
    """How many lines the windows of a band of rows slide over."""
    lines = (last_row - 1 - first_row) * plan.row.stride
    return lines + (plan.row.kernel - 1) * plan.row.dilation + 1


@function
def slide_flat(plan, buffers, tile, lines):
    """Windows along and over the rows of lines that are one line: at every line, those of all
    outputs.
    """
    size, pitch = tile.columns * tile.channels, plan.result_pitch
    window_rows(
        plan, buffers, tile, buffers.laid, plan.pitch, lines, buffers.result, pitch,
        plan.column.kernel,
    )  # fmt: skip
    windows = lines - (plan.row.kernel - 1) * plan.row.dilation
    call(
        plan.lines, (SLIDE_LINE, buffers.slid, (windows - 1) * pitch + size, buffers.result,
        (lines - 1) * pitch + size, plan.row.kernel, plan.row.dilation * pitch, plan.row.code,
        buffers.spare, plan.spare_size, buffers.distance, 0, 0, 0, 0, 0))  # fmt: skip


@function
def work_sliding(plan, plan_address, buffers, tile, first_row, last_row):
    """A band of rows over which windows slide, strip by strip."""
    size, pitch = tile.columns * tile.channels, plan.result_pitch
    row, kept = first_row, ZERO
    while row < last_row:
        rows = min(plan.strip_rows, last_row - row)
        # Lines windowed along their columns; some have been kept of the strip before.
        first = row * plan.row.stride - plan.row.before
        count = lines_of(plan, row, row + rows)
        while kept < count:
            here = min(plan.batch_rows, count - kept)
            lay_rows(plan, plan_address, buffers, tile, buffers.laid, first + kept, here)
            target = part(plan, buffers.result, plan.result_size, kept * pitch, size)
            window_rows(
                plan, buffers, tile, buffers.laid, plan.pitch, here, target, pitch,
                plan.column.kernel,
            )  # fmt: skip
            kept += here
        slide_rows(plan, plan_address, buffers, tile, row, rows)
        row += rows
        first = rows * plan.row.stride
        kept = max(count - first, ZERO) if row < last_row else ZERO
        call(
            plan.lines, (WINDOW, buffers.result, pitch, kept, size,
            buffers.result + first * pitch * plan.itemsize, pitch, size, 1, 1, 1, 1, 0,
            buffers.spare, plan.spare_size, buffers.distance))  # fmt: skip


def walk(
    plan_address, source_start, other_start, out_start, extra_start, first_task, last_task
):  # fmt: skip
    plan = array_at(plan_address, 1, PLAN_TYPE)[0]
    memory, buffers = make_buffers(plan)
    margin = data = channels = -1
    for task in range(first_task, last_task):
        block, number, band, depth, group = parts_of(plan, task)
        first_row = band * plan.band_rows
        last_row = min(first_row + plan.band_rows, plan.row.outputs)
        first_item = group * plan.group
        last_item = min(first_item + plan.group, plan.items)
        lines = 0
        for item in range(first_item, last_item):
            tile = tile_of(
                plan, item, depth, number, block, source_start, other_start, out_start, extra_start
            )
            if (tile.margin, tile.data, tile.channels) != (margin, data, channels):
                margin, data, channels = tile.margin, tile.data, tile.channels
                lay_margins(plan, buffers, tile)
            if plan.slide_rows and plan.flat:
                first = first_row * plan.row.stride - plan.row.before
                count = lines_of(plan, first_row, last_row)
                size = count * plan.pitch
                start = part(plan, buffers.laid, plan.laid_size, lines * plan.pitch, size)
                lay_rows(plan, plan_address, buffers, tile, start, first, count)
                lines += count
            elif plan.slide_rows:
                work_sliding(plan, plan_address, buffers, tile, first_row, last_row)
            else:
                work_folded(plan, plan_address, buffers, tile, first_row, last_row)
        if plan.slide_rows and plan.flat:
            slide_flat(plan, buffers, tile, lines)
            lines_of_item = lines // (last_item - first_item)
            for i in range(last_item - first_item):
                tile = tile_of(
                    plan, first_item + i, depth, number, block,
                    source_start, other_start, out_start, extra_start,
                )  # fmt: skip
                start = buffers.slid + i * lines_of_item * plan.result_pitch * plan.itemsize
                store_places(
                    plan, plan_address, buffers, tile, start, plan.row.stride * plan.result_pitch,
                    first_row, first_row, last_row,
                )  # fmt: skip
    keep(memory)
    return last_task - first_task
