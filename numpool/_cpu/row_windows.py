"""Windows over the rows of a strip of lines, at a cost that hardly depends on how many rows they
have.

The windows of a group of neighbouring outputs have most of their rows in common: the core of the
group. Each half of a group shares a few rows more, each quarter again, and what a single output
adds is a row or two: some three rows an output in all. Cores are windows too, a group apart, over
sums of as many rows as groups are apart: these are an eighth of all rows, and windows slide over
them as along a line.

Nothing outside a window enters its result, and sums stay shallow.
"""

from numpool._cpu.lines import EXTEND, REDUCE, SLIDE_LINE
from numpool._cpu.memory import ONE, ZERO, call, function
from numpool._cpu.tiles import LEAF, part, store_places


@function
def extend(plan, buffers, target, base, shift, line, pitch, rows, code, size):
    """Combine a base and some rows; `code` is that of the first."""
    call(
        plan.lines, (EXTEND, target, base, shift, line, pitch, rows, code, plan.row.code, size,
        buffers.distance, 0, 0, 0, 0, 0))  # fmt: skip


@function
def fold_rows(plan, buffers, target, line, pitch, rows, size, spare):
    """Combine some rows: one after the other, or many as a tree, or sums would lose digits."""
    if 1 < rows <= LEAF:
        behind = line + pitch * plan.itemsize
        extend(plan, buffers, target, line, ZERO, behind, pitch, rows - 1, plan.row.code, size)
    else:
        call(
            plan.lines, (REDUCE, target, size, line, (rows - 1) * pitch + size, rows, pitch,
            plan.row.code, spare, rows * size, buffers.distance, 0, 0, 0, 0, 0))  # fmt: skip


@function
def share_rows(plan, buffers, line, pitch, groups, size):
    """The core of each group of outputs, in the slid buffer. Codes are those of its last output."""
    cores = part(plan, buffers.slid, plan.slid_size, ZERO, groups * size)
    width, step = size * plan.itemsize, plan.group_step * pitch * plan.itemsize
    line += (plan.group_step - plan.row.stride) * pitch * plan.itemsize
    count = groups + plan.core_sums - 1
    sums = part(plan, buffers.spare, plan.spare_size, ZERO, (3 * count + groups) * size)
    windows, spare = sums + count * width, sums + (count + groups) * width
    if plan.core_sums == 1:
        sums = cores
    elif plan.core_rest == 0:
        windows = cores
    for c in range(count):
        start = line + c * step
        fold_rows(plan, buffers, sums + c * width, start, pitch, plan.core_rows, size, spare)
    if plan.core_sums == 1:
        return
    call(
        plan.lines, (SLIDE_LINE, windows, groups * size, sums, count * size, plan.core_sums, size,
        plan.group_step * plan.row.code, spare, 2 * count * size, buffers.distance, 0, 0, 0, 0, 0
        ))  # fmt: skip
    if plan.core_rest == 0:
        return
    code = plan.core_sums * plan.group_step * plan.row.code
    for g in range(groups):
        start = line + (g + plan.core_sums) * step
        fold_rows(plan, buffers, spare, start, pitch, plan.core_rest, size, spare + width)
        extend(
            plan, buffers, cores + g * width, windows + g * width, ZERO, spare, size, ONE, code,
            size,
        )  # fmt: skip


@function
def spread_rows(plan, buffers, core, line, pitch, outputs, target, size):
    """The windows of the outputs of a group from its core; their first row is that of the line.

    Node n, of outputs [first, last), holds the rows that these have in common, with the codes of
    the last; its halves are nodes 2 n and 2 n + 1. Node 1 is the core.
    """
    width, row_bytes = size * plan.itemsize, pitch * plan.itemsize
    stride, code = plan.row.stride, plan.row.code
    nodes = part(plan, buffers.spare, plan.spare_size, ZERO, plan.row_group * size)
    level, half = ONE, plan.row_group // 2
    while half > 0:
        rows = half * stride
        for n in range(level, 2 * level):
            first = 2 * half * (n - level)
            node = core if n == 1 else nodes + n * width
            left, right = nodes + 2 * n * width, nodes + (2 * n + 1) * width
            if half == 1:
                left, right = target + first * width, target + (first + 1) * width
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
def slide_rows(plan, plan_address, buffers, tile, row, rows):
    """Windows over the lines of a strip, which go to `out`.

    Windows with a dilation are such of neighbours over every few lines, and outputs likewise are
    taken apart: every few, from each of the first.
    """
    size, step, group = tile.columns * tile.channels, plan.row.dilation, plan.row_group
    pitch, stride = plan.result_pitch, plan.row.stride
    for k in range(min(step, rows)):
        outputs = -(-(rows - k) // step)
        groups = -(-outputs // group)
        reach = ((outputs - 1) * stride + plan.row.kernel - 1) * step * pitch + size
        line = part(plan, buffers.result, plan.result_size, k * stride * pitch, reach)
        share_rows(plan, buffers, line, pitch * step, groups, size)
        for g in range(groups):
            result = buffers.slid + g * size * plan.itemsize
            outputs_here = min(group, outputs - g * group)
            if group > 1:
                start = line + g * plan.group_step * step * pitch * plan.itemsize
                target = buffers.slid + plan.core_size * plan.itemsize
                spread_rows(plan, buffers, result, start, pitch * step, outputs_here, target, size)
                result = target
            together = outputs_here if step == 1 else ONE
            for r in range(0, outputs_here, together):
                first = row + k + (g * group + r) * step
                store_places(
                    plan, plan_address, buffers, tile, result + r * size * plan.itemsize, size,
                    first, first, first + together,
                )  # fmt: skip
