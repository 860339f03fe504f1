"""Long windows that lie apart, as those over whole planes: a warp takes an output, its lanes every
32nd tap of a row, and what the lanes have found is joined in shared memory, in one order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import cuda

from numpool._cuda.gather import Operator, Window, make_fold, make_locate
from numpool._cuda.scalars import Arithmetic, device

LANES = 32
# Of a block: the size of its shared memory is that of the code.
_THREADS = 256


def make_warps(
    arithmetic: Arithmetic, operator: Operator, block: int = _THREADS
) -> Callable[..., None]:
    """The kernel of an operator whose totals are single numbers."""
    whole = arithmetic.whole
    locate, in_row, _ = make_locate(arithmetic)
    fold = make_fold(arithmetic, *operator[:4], operator.run)
    start, finish = operator.start, operator.finish
    combine: Any = operator.combine
    kind = operator.total

    @device
    def of_lane(window, lane, walk):
        """The part of a window that a lane takes: the steps along columns are those of lanes."""
        left = whole(max(whole(window.columns - lane + LANES - 1), 0))
        return Window(
            whole(window.source + whole(lane * walk.lane_step)),
            window.other, window.out, window.extra, window.depths, window.rows,
            whole(left >> 5), window.code,
            window.depth_share, window.row_share, window.column_share,
        )  # fmt: skip

    def warps(source, other, out, extra, tables, walk, numbers):
        found = cuda.shared.array(block, kind)
        thread = cuda.threadIdx.x
        lane = whole(thread & (LANES - 1))
        number = whole(whole(whole(cuda.blockIdx.x * cuda.blockDim.x) + thread) >> 5)
        inside = number < walk.threads
        # All threads of a block meet at each barrier, with an output or without.
        row, windows = locate(whole(min(number, whole(walk.threads - 1))), tables, walk)
        window = in_row(windows, row, tables, walk)
        total = start()
        if inside:
            total = fold(source, other, of_lane(window, lane, walk), walk, numbers, 0.0)
        found[thread] = total
        distance = LANES // 2
        while distance > 0:
            cuda.syncthreads()
            if lane < distance:
                found[thread] = combine(found[thread], found[thread + distance])
            distance >>= 1
        if inside & (lane == 0):
            finish(found[thread], source, other, out, extra, window, walk, numbers)

    return warps
