"""The backward pass of max by matching: each input takes the gradients of the windows around it
whose index names it.

A task has a box of the input. All windows that reach into it are laid out first, indices as codes
as wide as gradients, with codes that name nothing around them: so every input of a row belongs to
as many windows, and vectors of codes are compared and gradients added in registers. That is 0.3 to
0.9 of the time of scattering them (scatter.py), where each is located, and the same places are
loaded and stored over and over. Gradients of an input are added in the C order of their windows, as
they are there.

Indices are checked on the way: one that is right is matched by one input, any other by none. It is
for the caller to compare how many are.
"""

from numpool._cpu.match_plan import AXIS_TYPE, MATCH_TYPE
from numpool._cpu.match_rows import MOST_TAPS, first_window
from numpool._cpu.memory import (
    aligned_memory,
    array_at,
    call,
    call_walk,
    function,
    inline,
    keep,
    stack_bytes,
    write,
)
from numpool._cpu.tiles import item_addresses

# Room for where lines of windows start, and how much less their codes are.
_LINES = 16 * MOST_TAPS


@inline
def box_of(axis, number):
    """(first, length, places, first window) of a box: inputs that belong to the same windows are
    one place.
    """
    first = number * axis.box
    length = min(axis.length - first, axis.box)
    window = first_window(axis.reach - 1, axis.before + first, axis.stride)
    return first, length, -(-length // axis.stride), window


@inline
def windows_there(axis, first, count):
    """Of so many windows from one on, which may lie outside the axis: how many lie before it, on it
    and behind it.
    """
    before = min(max(-first, 0), count)
    there = max(min(axis.outputs - first, count) - before, 0)
    return before, there, count - before - there


@inline
def windows_of(axis, number):
    """(first, count, step, tap, less) of the windows that an input of a place belongs to: windows
    from one to the next, which tap of the first it is, and how many before that of the next.

    One of stride and dilation is 1.
    """
    if axis.dilation > 1:
        return 0, axis.kernel, axis.dilation, axis.kernel - 1, 1
    phase = axis.before % axis.stride
    at = phase + number
    first = first_window(axis.kernel - 1, at, axis.stride)
    start = first - first_window(axis.kernel - 1, phase, axis.stride)
    return start, at // axis.stride - first + 1, 1, at - first * axis.stride, axis.stride


@function
def walk_matches(
    plan_address, gradient_start, indices_start, out_start, found, first_task, last_task
):  # fmt: skip
    """Gradients to all inputs, without `out` none; at `found`, for each task how many windows are
    matched.
    """
    plan = array_at(plan_address, 1, MATCH_TYPE)[0]
    axes = array_at(plan.axes, 3, AXIS_TYPE)
    along_depth, along_rows, along_columns = axes[0], axes[1], axes[2]
    memory, codes = aligned_memory(2 * plan.size * plan.itemsize)
    line_starts = stack_bytes(_LINES)
    gradients = codes + plan.size * plan.itemsize
    for task in range(first_task, last_task):
        rest, tile = divmod(task, along_columns.boxes)
        rest, band = divmod(rest, along_rows.boxes)
        rest, slab = divmod(rest, along_depth.boxes)
        rest, group = divmod(rest, plan.groups)
        item = group * plan.group
        items = min(plan.items - item, plan.group)
        gradient, indices, out, _ = item_addresses(
            plan, rest, gradient_start, indices_start, out_start, 0
        )
        first_depth, depths, depth_places, window_depth = box_of(along_depth, slab)
        first_row, rows, row_places, window_row = box_of(along_rows, band)
        first_column, columns, column_places, window_column = box_of(along_columns, tile)
        laid_depths = depth_places + along_depth.span
        rows_before, rows_there, rows_behind = windows_there(
            along_rows, window_row, row_places + along_rows.span
        )
        left, columns_there, _ = windows_there(
            along_columns, window_column, column_places + along_columns.span
        )
        base, names = 0, plan.offsets
        if names == 0:
            base = first_depth * along_depth.position_step + first_row * along_rows.position_step
            base += first_column * along_columns.position_step
            names = 1 + (depths - 1) * along_depth.position_step
            names += (rows - 1) * along_rows.position_step
            names += (columns - 1) * along_columns.position_step
        pitch = along_rows.step
        row = window_row + rows_before
        column = window_column + left
        gradient += item * plan.gradient.item + row * plan.gradient.row
        gradient += column * plan.gradient.column
        indices += item * plan.indices.item + row * plan.indices.row
        indices += column * plan.indices.column
        for number in range(items):
            for laid in range(laid_depths):
                depth = window_depth + laid
                start = (number * plan.item_step + laid * along_depth.step) * plan.itemsize
                there = rows_there if 0 <= depth < along_depth.outputs else 0
                call(plan.lay, (
                    codes + start, gradients + start, pitch, rows_before, there,
                    rows_behind + rows_there - there,
                    gradient + number * plan.gradient.item + depth * plan.gradient.depth,
                    plan.gradient.row,
                    indices + number * plan.indices.item + depth * plan.indices.depth,
                    plan.indices.row, left, columns_there, base, names))  # fmt: skip
        out += item * plan.out.item + first_depth * plan.out.depth
        out += first_row * plan.out.row + first_column * plan.out.column
        matched = 0
        for depth in range(depths):
            place, within = divmod(depth, along_depth.stride)
            of_depth = windows_of(along_depth, within)
            for first in range(min(along_rows.stride, rows)):
                of_row = windows_of(along_rows, first)
                start = (place + of_depth[0]) * along_depth.step + of_row[0] * pitch
                start *= plan.itemsize
                lines = 0
                for i in range(of_depth[1]):
                    for j in range(of_row[1]):
                        line = i * of_depth[2] * along_depth.step + j * of_row[2] * pitch
                        less = i * of_depth[4] * along_depth.tap_step
                        less += j * of_row[4] * along_rows.tap_step
                        write(line_starts + 16 * lines, line)
                        write(line_starts + 16 * lines + 8, less)
                        lines += 1
                name = depth * along_depth.position_step + first * along_rows.position_step
                name += of_depth[3] * along_depth.tap_step + of_row[3] * along_rows.tap_step
                name += (along_columns.kernel - 1) * along_columns.tap_step
                to = out + depth * plan.out.depth + first * plan.out.row if out_start else 0
                matched += call_walk(
                    plan.add, (items, plan.item_step, plan.out.item,
                    -((first - rows) // along_rows.stride), pitch,
                    along_rows.stride * plan.out.row, columns, codes + start, gradients + start,
                    to, lines, line_starts, along_columns.kernel, along_columns.dilation, name,
                    along_rows.stride * along_rows.position_step, along_columns.position_step,
                    along_columns.tap_step))  # fmt: skip
        write(found + 8 * task, matched)
    keep(memory)
    return last_task - first_task
