"""Long windows that lie apart, as those over whole planes: a warp takes an output, its lanes every
32nd tap of a row, and what the lanes have found is joined in shared memory, in one order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import cuda

from numpool._cuda.gather import Operator, Window, finish_of, make_fold, make_locate
from numpool._cuda.scalars import Arithmetic, device

LANES = 32
# Of a block: the size of its shared memory is that of the code.
_THREADS = 256


def _make_shared(kinds: tuple[type, ...]) -> tuple[Any, Any]:
    """Functions that put totals, numbers or pairs, into shared memory, and get them."""
    if len(kinds) == 1:

        @device
        def put(firsts, seconds, at, total):
            firsts[at] = total

        return put, device(lambda firsts, seconds, at: firsts[at])

    @device
    def put_pair(firsts, seconds, at, total):
        firsts[at] = total[0]
        seconds[at] = total[1]

    return put_pair, device(lambda firsts, seconds, at: (firsts[at], seconds[at]))


def make_warps(
    arithmetic: Arithmetic, operator: Operator, block: int = _THREADS
) -> Callable[..., None]:
    """The kernel of an operator whose totals can be combined."""
    whole = arithmetic.whole
    locate, in_row, _ = make_locate(arithmetic)
    fold = make_fold(arithmetic, *operator[:4], operator.run, LANES)
    start, finish = operator.start, finish_of(arithmetic, operator)
    combine: Any = operator.combine
    first, second = operator.total[0], operator.total[-1]
    put, get = _make_shared(operator.total)

    @device
    def of_lane(window, lane, walk):
        """The part of a window that a lane takes."""
        left = whole(max(whole(window.columns - lane + LANES - 1), 0))
        column = walk.column
        return Window(
            whole(window.source + whole(lane * column.source_step)),
            whole(window.other + whole(lane * column.other_step)),
            window.out, window.extra, window.depths, window.rows,
            whole(left >> 5), whole(window.code + whole(lane * column.step_code)),
            window.depth_share, window.row_share, window.column_share, window.place,
        )  # fmt: skip

    def warps(source, other, out, extra, tables, walk, numbers):
        firsts = cuda.shared.array(block, first)
        seconds = cuda.shared.array(block, second)
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
        put(firsts, seconds, thread, total)
        distance = LANES // 2
        while distance > 0:
            cuda.syncthreads()
            if lane < distance:
                total = combine(total, get(firsts, seconds, thread + distance))
                put(firsts, seconds, thread, total)
            distance >>= 1
        if inside & (lane == 0):
            finish(total, source, other, out, extra, window, walk, numbers)

    return warps
