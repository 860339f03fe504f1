"""The walk of small windows whose size the compiler knows: a thread goes down a column of outputs,
and takes each row of taps once.

Of the rows that its windows share it keeps what came of each in registers. At the edges of the
input it falls back to the walk of gather.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import cuda

from numpool._cuda.gather import Operator, Window, finish_of, make_locate, make_rows, nothing
from numpool._cuda.scalars import Arithmetic, device

# Sizes and strides of windows, along rows and columns alike: those of nearly all networks.
SIZES = ((2, 2), (2, 1), (3, 1), (3, 2), (5, 1))


def _make_taken(arithmetic: Arithmetic, operator: Operator, columns: int, count: int) -> Any:
    """A function that takes the taps of `count` rows, of each row into one part."""
    whole = arithmetic.whole
    start, begin, take = operator[:3]

    @device
    def row_of(source, at, walk, numbers, given):
        part = begin(start())
        for _ in range(columns):
            part = take(part, source, at, source, at, 0, numbers, given)
            at = whole(at + walk.column.source_step)
        return part

    if count == 1:
        return device(lambda *args: (row_of(*args),))
    others, last = _make_taken(arithmetic, operator, columns, count - 1), count - 1

    @device
    def rows_of(source, at, walk, numbers, given):
        below = whole(at + whole(last * walk.row.source_step))
        last_row = row_of(source, below, walk, numbers, given)
        return (*others(source, at, walk, numbers, given), last_row)

    return rows_of


def _make_joined(join: Any, count: int) -> Any:
    """A function that joins the first `count` parts of a tuple."""
    if count == 1:
        return device(lambda parts: parts[0])
    others, last = _make_joined(join, count - 1), count - 1
    return device(lambda parts: join(others(parts), parts[last]))


def make_strips(
    arithmetic: Arithmetic, operator: Operator, size: int, stride: int, columns: int | None = None
) -> Callable[..., None]:
    """The kernel of an operator for windows of some size and stride, whose rows have as many taps
    if not so many `columns`.
    """
    columns = size if columns is None else columns
    whole = arithmetic.whole
    locate, in_row, entry_of = make_locate(arithmetic)
    one_by_one = make_rows(arithmetic, operator)
    start, absorb, finish = operator.start, operator.absorb, finish_of(arithmetic, operator)
    given_of = operator.given or nothing
    kept = max(size - stride, 0)
    fresh = size - kept
    take_first = _make_taken(arithmetic, operator, columns, max(kept, 1))
    take_fresh = _make_taken(arithmetic, operator, columns, fresh)
    joined = _make_joined(operator.join, size)

    @device
    def written(parts, source, other, out, extra, window, walk, numbers):
        total = absorb(start(), joined(parts))
        finish(total, source, other, out, extra, window, walk, numbers)

    @device
    def below(window, walk):
        """The window of the next output."""
        return Window(
            window.source, window.other, whole(window.out + walk.steps.out[1]),
            window.extra, window.depths, window.rows, window.columns, window.code,
            window.depth_share, window.row_share, window.column_share, window.place,
        )  # fmt: skip

    if kept:

        @device
        def down(source, other, out, extra, window, outputs, walk, numbers):
            step = walk.row.source_step
            given = given_of(extra, window, walk)
            shared = take_first(source, window.source, walk, numbers, given)
            at = whole(window.source + whole(kept * step))
            while outputs > 0:
                parts = shared + take_fresh(source, at, walk, numbers, given)
                written(parts, source, other, out, extra, window, walk, numbers)
                shared = parts[stride:]
                window = below(window, walk)
                at = whole(at + whole(stride * step))
                outputs = whole(outputs - 1)
    else:

        @device
        def down(source, other, out, extra, window, outputs, walk, numbers):
            given = given_of(extra, window, walk)
            at = window.source
            while outputs > 0:
                parts = take_fresh(source, at, walk, numbers, given)
                written(parts, source, other, out, extra, window, walk, numbers)
                window = below(window, walk)
                at = whole(at + whole(stride * walk.row.source_step))
                outputs = whole(outputs - 1)

    def strips(source, other, out, extra, tables, walk, numbers):
        number = whole(whole(cuda.blockIdx.x * cuda.blockDim.x) + cuda.threadIdx.x)
        if number < walk.threads:
            row, windows = locate(number, tables, walk)
            end = whole(min(whole(row + walk.band), walk.row.size.size))
            window = in_row(windows, row, tables, walk)
            last_rows = entry_of(whole(end - 1), walk.row, tables)[1]
            inside = (window.columns == columns) & (window.depths == 1)
            if inside & (window.rows == size) & (last_rows == size):
                outputs = whole(end - row)
                down(source, other, out, extra, window, outputs, walk, numbers)
            else:
                one_by_one(source, other, out, extra, windows, row, end, tables, walk, numbers)

    return strips
