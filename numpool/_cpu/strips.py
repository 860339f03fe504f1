"""The walk over windows that slide over rows too: windows over the rows of lines become lines, and
windows along the columns of these go to `out`.

It is otherwise that of walk.py.
"""

from numpool._cpu.laying import lay_rows, make_walk, window_rows
from numpool._cpu.lines import SLIDE_LINE
from numpool._cpu.memory import ZERO, call_lines, function, inline
from numpool._cpu.row_windows import copy_rows, keep_sums, slide_rows
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
    call_lines(
        plan.lines, (SLIDE_LINE, buffers.slid, (windows - 1) * pitch + size, buffers.result,
        (lines - 1) * pitch + size, plan.row.kernel, plan.row.dilation * pitch, plan.row.code,
        buffers.spare, plan.spare_size, buffers.distance))  # fmt: skip
    store_places(
        plan, plan_address, buffers, tile, buffers.slid, plan.row.stride * pitch, first_row,
        first_row, last_row,
    )  # fmt: skip


@function
def work_sliding(plan, plan_address, buffers, tile, first_row, last_row):
    """A band of rows over which windows slide, strip by strip."""
    row, laid, known, size = first_row, ZERO, ZERO, tile.data * tile.channels
    while row < last_row:
        rows = min(plan.strip_rows, last_row - row)
        first = row * plan.row.stride - plan.row.before
        count = lines_of(plan, row, row + rows)
        if plan.source_lines and first >= 0 and first + count <= plan.row.length:
            line = tile.source + tile.depth * plan.depth.stride * plan.source.depth
            line += first * plan.source.row + tile.low * plan.source.column
            pitch, laid = plan.source.row // plan.itemsize, ZERO
        else:
            line, pitch = buffers.strip, plan.pitch
            part(plan, line, plan.strip_size, (count - 1) * pitch, pitch)
            # Some lines have been laid out for the strip before.
            lay_rows(
                plan, plan_address, buffers, tile, line + laid * pitch * plan.itemsize, pitch,
                first + laid, count - laid,
            )  # fmt: skip
            line, laid = line + tile.margin * plan.itemsize, count
        slide_rows(plan, plan_address, buffers, tile, line, pitch, row, rows, known)
        known = keep_sums(plan, buffers, rows, size)
        row += rows
        done = rows * plan.row.stride
        laid = max(laid - done, ZERO)
        if laid > 0 and row < last_row:
            behind = line + done * pitch * plan.itemsize
            copy_rows(plan, buffers, line, pitch, behind, pitch, laid, size)


# Two kernels, of which a call waits for one to be compiled.
walk_flat = make_walk(work_flat)
walk_strips = make_walk(work_sliding)
