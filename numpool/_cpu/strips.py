"""The walk over windows that slide over rows too: lines are windowed along their columns once, and
windows over the rows of these go to `out`.

It is otherwise that of walk.py.
"""

from numpool._cpu.laying import lay_rows, make_walk, window_rows
from numpool._cpu.lines import SLIDE_LINE, WINDOW
from numpool._cpu.memory import ZERO, call, function, inline
from numpool._cpu.row_windows import slide_rows
from numpool._cpu.tiles import part, store_places


@inline
def lines_of(plan, first_row, last_row):
    """How many lines the windows of a band of rows slide over."""
    lines = (last_row - 1 - first_row) * plan.row.stride
    return lines + (plan.row.kernel - 1) * plan.row.dilation + 1


@function
def work_flat(plan, plan_address, buffers, tile, first_row, last_row):
    """A band of rows whose lines are one line: windows along and over all of it."""
    size, pitch = tile.columns * tile.channels, plan.result_pitch
    first = first_row * plan.row.stride - plan.row.before
    lines = lines_of(plan, first_row, last_row)
    lay_rows(plan, plan_address, buffers, tile, buffers.laid, plan.pitch, first, lines)
    window_rows(
        plan, buffers, tile, buffers.laid, plan.pitch, lines, buffers.result, pitch,
        plan.column.kernel,
    )  # fmt: skip
    windows = lines - (plan.row.kernel - 1) * plan.row.dilation
    call(
        plan.lines, (SLIDE_LINE, buffers.slid, (windows - 1) * pitch + size, buffers.result,
        (lines - 1) * pitch + size, plan.row.kernel, plan.row.dilation * pitch, plan.row.code,
        buffers.spare, plan.spare_size, buffers.distance, 0, 0, 0, 0, 0))  # fmt: skip
    store_places(
        plan, plan_address, buffers, tile, buffers.slid, plan.row.stride * pitch, first_row,
        first_row, last_row,
    )  # fmt: skip


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
            lay_rows(
                plan, plan_address, buffers, tile, buffers.laid, plan.pitch, first + kept, here
            )
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


@inline
def work_strips(plan, plan_address, buffers, tile, first_row, last_row):
    """A band of rows, whose windows slide over them."""
    if plan.flat:
        work_flat(plan, plan_address, buffers, tile, first_row, last_row)
    else:
        work_sliding(plan, plan_address, buffers, tile, first_row, last_row)


walk_strips = make_walk(work_strips)
