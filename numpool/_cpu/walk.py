"""The walk over the windows: one body for every operator, type, rank, layout and direction.

It goes from output tile to output tile and does three steps on each:

    lay out    source rows become lines in a buffer, with room for padding at both ends; depth and
               row taps are combined on the way
    columns    windows along the lines; backward, they are spread over the positions that share them
    store      the results are finished and go to `out`: backward, a line to all rows that share it

The lines are made by the line kernel (lines.py) and the row functions (rows.py), which the walk
calls by address: it knows of sizes and places only, and is compiled once. Where nothing has to be
laid out, source rows serve as lines, and where nothing has to be finished, lines end in `out`.
Where columns have no windows, lines are laid out where these would go.

Windows that slide over rows have a walk of their own (strips.py), which nobody else waits for to be
compiled, and so have windows longer than a line buffer (long_windows.py).
"""

from numpool._cpu.laying import lay_rows, make_walk, out_row, window_rows
from numpool._cpu.memory import ONE, ZERO, call, function, inline
from numpool._cpu.taps import output_of, place_of
from numpool._cpu.tiles import fill, store_places


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
def work_folded(plan, plan_address, buffers, tile, first_row, last_row):
    """A band of rows, whose row taps are folded."""
    place = place_of(plan.row, first_row)
    last_place = place_of(plan.row, last_row - 1) + 1
    while place < last_place:
        lines = min(plan.batch_rows, last_place - place)
        row = max(output_of(plan.row, place), first_row)
        next_row = min(output_of(plan.row, place + lines), last_row)
        # Where lines go to.
        target, pitch = buffers.result, plan.result_pitch
        if plan.spread_pitch:
            target, pitch = buffers.slid, plan.spread_pitch
        if plan.out_lines:
            target, pitch = out_row(plan, tile, row), plan.out.row // plan.itemsize
        line, line_pitch = buffers.laid, plan.pitch
        if plan.laid_lines:
            line, line_pitch = target, pitch
        if plan.source_lines and tile.margin == 0:
            step = plan.row.stride * plan.source.row
            line = tile.source + tile.depth * plan.depth.stride * plan.source.depth + row * step
            line += tile.low * plan.source.column
            line_pitch = step * tile.channels // plan.source.column
        else:
            lay_rows(plan, plan_address, buffers, tile, line, line_pitch, place, lines)
        if plan.spread_pitch:
            spread_rows(plan, buffers, tile, lines, target, pitch)
        elif line != target:
            taps = plan.column.kernel
            window_rows(plan, buffers, tile, line, line_pitch, lines, target, pitch, taps)
        if not plan.out_lines:
            store_places(plan, plan_address, buffers, tile, target, pitch, place, row, next_row)
        place += lines


walk = make_walk(work_folded)
