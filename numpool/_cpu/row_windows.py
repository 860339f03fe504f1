"""Windows over the rows of a strip of lines, at a cost that hardly depends on how many rows they
have.

The windows of a group of neighbouring outputs have most of their rows in common: the core of the
group. Each half of a group shares a few rows more, each quarter again, and what a single output
adds is a row or two: some three rows an output in all. Cores are windows too, a group apart, over
sums of as many rows as groups are apart: these are an eighth of all rows, and windows slide over
them as along a line.

Nothing outside a window enters its result, and sums stay shallow.
"""

from numpool._cpu.laying import out_row, window_rows
from numpool._cpu.lines import EXTEND, GROUP, REDUCE, SLIDE_LINE, WINDOW
from numpool._cpu.memory import ONE, ZERO, call_lines, function
from numpool._cpu.row_groups import GROUPS
from numpool._cpu.tiles import LEAF, part, store_places


@function
def extend(plan, buffers, target, base, shift, line, pitch, rows, code, size):
    """Combine a base and some rows; `code` is that of the first."""
    call_lines(
        plan.lines, (EXTEND, target, base, shift, line, pitch, rows, code, plan.row.code, size,
        buffers.distance))  # fmt: skip


@function
def fold_rows(plan, buffers, target, line, pitch, rows, size, spare):
    """Combine some rows: one after the other, or many as a tree, or sums would lose digits."""
    if 1 < rows <= LEAF:
        behind = line + pitch * plan.itemsize
        extend(plan, buffers, target, line, ZERO, behind, pitch, rows - 1, plan.row.code, size)
    else:
        call_lines(
            plan.lines, (REDUCE, target, size, line, (rows - 1) * pitch + size, rows, pitch,
            plan.row.code, spare, rows * size, buffers.distance))  # fmt: skip


@function
def copy_rows(plan, buffers, target, target_pitch, line, pitch, rows, size):
    """Rows of accumulators to another place; forwards, so that they may come from behind it."""
    call_lines(
        plan.lines, (WINDOW, target, target_pitch, rows, size, line, pitch, size, 1, 1, 1, 1, 0,
        buffers.spare, plan.spare_size, buffers.distance))  # fmt: skip


@function
def share_rows(plan, buffers, line, pitch, groups, size, known):
    """The core of each group of outputs: gives the address of the first. Codes are those of its
    last output.

    Sums are at the start of the slid buffer, of which so many are `known` there already.
    """
    width, step = size * plan.itemsize, plan.group_step * pitch * plan.itemsize
    line += (plan.group_step - plan.row.stride) * pitch * plan.itemsize
    count = groups + plan.core_sums - 1
    sums = part(plan, buffers.slid, plan.slid_size, ZERO, (count + groups) * size)
    windows = part(
        plan, buffers.spare, plan.spare_size, ZERO,
        (groups + max(2 * count, plan.core_rows + 1)) * size,
    )  # fmt: skip
    spare = windows + groups * width
    for c in range(known, count):
        start = line + c * step
        fold_rows(plan, buffers, sums + c * width, start, pitch, plan.core_rows, size, spare)
    if plan.core_sums == 1:
        return sums
    cores = sums + count * width
    if plan.core_rest == 0:
        windows = cores
    call_lines(
        plan.lines, (SLIDE_LINE, windows, groups * size, sums, count * size, plan.core_sums, size,
        plan.group_step * plan.row.code, spare, 2 * count * size, buffers.distance))  # fmt: skip
    if plan.core_rest == 0:
        return cores
    code = plan.core_sums * plan.group_step * plan.row.code
    for g in range(groups):
        start = line + (g + plan.core_sums) * step
        fold_rows(plan, buffers, spare, start, pitch, plan.core_rest, size, spare + width)
        extend(
            plan, buffers, cores + g * width, windows + g * width, ZERO, spare, size, ONE, code,
            size,
        )  # fmt: skip
    return cores


@function
def keep_sums(plan, buffers, rows, size):
    """Of the sums over the rows of a strip, keep those that the next strip begins with, if any:
    gives how many.
    """
    groups, kept = rows // plan.row_group, plan.core_sums - 1
    if plan.row.dilation > 1 or rows % plan.row_group > 0:
        return ZERO
    line = buffers.slid + groups * size * plan.itemsize
    copy_rows(plan, buffers, buffers.slid, size, line, size, kept, size)
    return kept


@function
def spread_rows(plan, buffers, core, line, pitch, outputs, target, target_pitch, size):
    """The windows of the outputs of a group from its core, to lines of a target; their first row is
    that of the line.

    Node n, of outputs [first, last), holds the rows that these have in common, with the codes of
    the last; its halves are nodes 2 n and 2 n + 1. Node 1 is the core.
    """
    width, row_bytes = size * plan.itemsize, pitch * plan.itemsize
    target_bytes = target_pitch * plan.itemsize
    stride, code = plan.row.stride, plan.row.code
    if plan.row_group == 1:
        copy_rows(plan, buffers, target, size, core, size, ONE, size)
        return
    if stride == 1 and outputs == plan.row_group and outputs in GROUPS and not plan.pairs:
        behind = line + plan.row.kernel * row_bytes
        call_lines(
            plan.lines, (GROUP, outputs, target, target_bytes, core, line, behind, row_bytes, size,
            code, plan.row.kernel * code))  # fmt: skip
        return
    nodes = part(plan, buffers.spare, plan.spare_size, ZERO, plan.row_group * size)
    level, half = ONE, plan.row_group // 2
    while half > 0:
        rows = half * stride
        for n in range(level, 2 * level):
            first = 2 * half * (n - level)
            node = core if n == 1 else nodes + n * width
            left, right = nodes + 2 * n * width, nodes + (2 * n + 1) * width
            if half == 1:
                left, right = target + first * target_bytes, target + (first + 1) * target_bytes
            if first < outputs:
                before = line + (first + half - 1) * stride * row_bytes
                extend(
                    plan, buffers, left, node, rows * code, before, pitch, rows, ZERO, size
                )  # fmt: skip
            if first + half < outputs:
                behind = line + (first * stride + plan.row.kernel) * row_bytes
                behind_code = (plan.row.kernel - (2 * half - 1) * stride) * code
                extend(
                    plan, buffers, right, node, ZERO, behind, pitch, rows, behind_code, size
                )  # fmt: skip
        level *= 2
        half //= 2


@function
def store_group(plan, plan_address, buffers, tile, first, step, outputs):
    """The windows along the lines of a group of outputs, which are rows `step` apart, to `out`."""
    target, pitch = buffers.result, plan.result_pitch
    if plan.laid_lines:
        target, pitch = buffers.laid, plan.pitch
    else:
        if plan.out_lines:
            target, pitch = out_row(plan, tile, first), step * plan.out.row // plan.itemsize
        taps = plan.column.kernel
        window_rows(plan, buffers, tile, buffers.laid, plan.pitch, outputs, target, pitch, taps)
    if plan.out_lines:
        return
    together = outputs if step == 1 else ONE
    for r in range(0, outputs, together):
        row = first + r * step
        store_places(
            plan, plan_address, buffers, tile, target + r * pitch * plan.itemsize, pitch, row, row,
            row + together,
        )  # fmt: skip


@function
def slide_rows(plan, plan_address, buffers, tile, line, pitch, row, rows, known):
    """Windows over the lines of a strip, the first of which is given, and along these, to `out`. So
    many of their sums are known.

    Windows with a dilation are such of neighbours over every few lines, and outputs likewise are
    taken apart: every few, from each of the first.
    """
    size, step, group = tile.data * tile.channels, plan.row.dilation, plan.row_group
    row_bytes, stride = pitch * plan.itemsize, plan.row.stride
    for k in range(min(step, rows)):
        outputs = -(-(rows - k) // step)
        groups = -(-outputs // group)
        line_k = line + k * stride * row_bytes
        cores = share_rows(plan, buffers, line_k, pitch * step, groups, size, known)
        for g in range(groups):
            core = cores + g * size * plan.itemsize
            outputs_here = min(group, outputs - g * group)
            start = line_k + g * plan.group_step * step * row_bytes
            first = row + k + g * group * step
            target, target_pitch = buffers.laid + tile.margin * plan.itemsize, plan.pitch
            if plan.laid_lines and plan.out_lines:
                target = out_row(plan, tile, first)
                target_pitch = step * plan.out.row // plan.itemsize
            spread_rows(
                plan, buffers, core, start, pitch * step, outputs_here, target, target_pitch, size
            )
            store_group(plan, plan_address, buffers, tile, first, step, outputs_here)
