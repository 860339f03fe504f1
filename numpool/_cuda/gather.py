"""The walk of all kernels: a thread makes an output of the taps of its window, and then those of
the next rows below it.

What is done with taps and with the result is an operator's: see operators.py. Forward, the taps are
values of the input; backward, they are the outputs that an input had a part in. Each output is
written by one thread, which meets its taps in one order: results are the same on every run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda

from numpool._cuda.scalars import Arithmetic, device
from numpool._cuda.tables import FIELDS

# Taps that are combined one by one before they join the total.
UNBROKEN = 2**30


class Window(NamedTuple):
    """Where an output and its taps are: elements of the operands, counts, the code of the first
    tap, the shares of the divisor, and which of a row's it is.
    """

    source: int
    other: int
    out: int
    extra: int
    depths: int
    rows: int
    columns: int
    code: int
    depth_share: int
    row_share: int
    column_share: int
    place: int


class Operator(NamedTuple):
    """What a kernel does with taps.

    `start()` is the total of no taps, `begin(total)` the part that a run of up to `run` taps
    begins with, `take(part, ...)` the part with a tap more, `absorb(total, part)` the total with a
    run more; without `take`, taps are left alone. `given(extra, window, walk)` is what `take`
    gets beside, `join` makes one part of two. `result(total, window, numbers)` is what is written;
    where it takes more than that, `finish(total, ...)` writes. `combine` makes one total of two:
    numbers or pairs, of the dtypes `total`. An element `neutral` changes no total.
    """

    start: Any = None
    begin: Any = None
    take: Any = None
    absorb: Any = None
    run: int = UNBROKEN
    result: Any = None
    finish: Any = None
    given: Callable[..., Any] | None = None
    join: Callable[..., Any] | None = None
    combine: Callable[..., Any] | None = None
    total: tuple[type, ...] = ()
    neutral: float = 0.0


@device
def same_total(total):
    """`begin` where a run needs no part of its own."""
    return total


@device
def only_part(total, part):
    """`absorb` of such a run."""
    return part


def make_take(arithmetic: Arithmetic, combine: Any, value_of: Any) -> Any:
    """The `take` that combines the part with the value of a tap's element."""
    subscript = arithmetic.subscript

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return combine(part, value_of(source[subscript(at)]))

    return take


def written(write: Any) -> Any:
    """The `result` that `write` makes of a total."""
    return device(lambda total, window, numbers: write(total))


def finish_of(arithmetic: Arithmetic, operator: Operator) -> Any:
    """What writes the results of an operator."""
    subscript, result = arithmetic.subscript, operator.result

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = result(total, window, numbers)

    return operator.finish or finish


@device
def nothing(extra, window, walk):
    """What `take` gets beside where that is nothing."""
    return 0.0


def make_fold(arithmetic: Arithmetic, start, begin, take, absorb, run=UNBROKEN, lanes=1):
    """A function that combines the taps of a window, in their order, of each row every one of
    `lanes`. `given` is a number that `take` gets.
    """
    whole = arithmetic.whole

    @device
    def fold(source, other, window, walk, numbers, given):
        total = start()
        column, row, depth = walk.column, walk.row, walk.depth
        depth_at, depth_other, depth_code = window.source, window.other, window.code
        depths = window.depths
        while depths > 0:
            row_at, row_other, row_code = depth_at, depth_other, depth_code
            rows = window.rows
            while rows > 0:
                at, other_at, code = row_at, row_other, row_code
                left = window.columns
                while left > 0:
                    part = begin(total)
                    end = whole(max(whole(left - run), 0))
                    while left > end:
                        part = take(part, source, at, other, other_at, code, numbers, given)
                        at = whole(at + whole(column.source_step * lanes))
                        other_at = whole(other_at + whole(column.other_step * lanes))
                        code = whole(code + whole(column.step_code * lanes))
                        left = whole(left - 1)
                    total = absorb(total, part)
                row_at = whole(row_at + row.source_step)
                row_other = whole(row_other + row.other_step)
                row_code = whole(row_code + row.step_code)
                rows = whole(rows - 1)
            depth_at = whole(depth_at + depth.source_step)
            depth_other = whole(depth_other + depth.other_step)
            depth_code = whole(depth_code + depth.step_code)
            depths = whole(depths - 1)
        return total

    return fold


def make_locate(arithmetic: Arithmetic):
    """Functions that find the windows of a thread by its number, of these the one in a row, and the
    entry of a place in an axis' table.
    """
    whole, subscript, divide = arithmetic.whole, arithmetic.subscript, arithmetic.divide

    @device
    def split(number, by):
        quotient = divide(number, by.size, by.multiplier, by.shift)
        return quotient, whole(number - whole(quotient * by.size))

    @device
    def entry_of(place, axis, tables):
        behind = whole(max(whole(place - axis.lead), 0))
        period = axis.period
        repeat = divide(behind, period.size, period.multiplier, period.shift)
        repeat = whole(min(repeat, axis.repeats))
        row = whole(place - whole(repeat * period.size))
        at = whole(axis.table + whole(row * FIELDS))
        first = whole(whole(tables[subscript(at)]) + whole(repeat * axis.advance))
        count = whole(tables[subscript(at + 1)])
        share = whole(tables[subscript(at + 2)])
        tap = whole(tables[subscript(at + 3)])
        code = whole(
            whole(place * axis.place_code)
            + whole(first * axis.first_code)
            + whole(tap * axis.tap_code)
        )
        return first, count, share, code

    @device
    def along(step, depth, row, column, channel):
        """How far from the first element: `step` gives the steps along depth, row ..."""
        moved = whole(whole(depth * step[0]) + whole(row * step[1]))
        return whole(moved + whole(whole(column * step[2]) + whole(channel * step[3])))

    @device
    def locate(number, tables, walk):
        """The outputs of a thread: their first row, and all of their windows but what rows say."""
        number, channel = split(number, walk.channels)
        number, column = split(number, walk.column.size)
        number, band = split(number, walk.bands)
        number, depth = split(number, walk.depth.size)
        start, steps = walk.start, walk.steps
        out = whole(start.out + along(steps.out, depth, 0, column, channel))
        extra = whole(start.extra + along(steps.extra, depth, 0, column, channel))
        place = column
        column, columns, column_share, code = entry_of(column, walk.column, tables)
        depth, depths, depth_share, depth_code = entry_of(depth, walk.depth, tables)
        source = whole(start.source + along(steps.source, depth, 0, column, channel))
        other = whole(start.other + along(steps.other, depth, 0, column, channel))
        code = whole(whole(walk.code + code) + depth_code)
        at, left = walk.batch, walk.batch_axes
        while left > 0:
            size = whole(tables[subscript(at)])
            multiplier, shift = tables[subscript(at + 1)], tables[subscript(at + 2)]
            quotient = divide(number, size, multiplier, shift)
            item = whole(number - whole(quotient * size))
            number = quotient
            source = whole(source + whole(item * whole(tables[subscript(at + 3)])))
            other = whole(other + whole(item * whole(tables[subscript(at + 4)])))
            out = whole(out + whole(item * whole(tables[subscript(at + 5)])))
            extra = whole(extra + whole(item * whole(tables[subscript(at + 6)])))
            at, left = whole(at + 7), whole(left - 1)
        return whole(band * walk.band), Window(
            source, other, out, extra, depths, 0, columns, code, depth_share, 0, column_share, place
        )

    @device
    def in_row(window, row, tables, walk):
        """The window of the output in a row."""
        steps = walk.steps
        first, rows, row_share, row_code = entry_of(row, walk.row, tables)
        return Window(
            whole(window.source + whole(first * steps.source[1])),
            whole(window.other + whole(first * steps.other[1])),
            whole(window.out + whole(row * steps.out[1])),
            whole(window.extra + whole(row * steps.extra[1])),
            window.depths,
            rows,
            window.columns,
            whole(window.code + row_code),
            window.depth_share,
            row_share,
            window.column_share,
            window.place,
        )

    return locate, in_row, entry_of


@device
def _untouched(source, other, window, walk, numbers, given):
    return 0.0


def make_rows(arithmetic: Arithmetic, operator: Operator) -> Any:
    """A function that makes the outputs of some rows one by one."""
    whole = arithmetic.whole
    _, in_row, _ = make_locate(arithmetic)
    fold = _untouched
    if operator.take is not None:
        fold = make_fold(arithmetic, *operator[:4], operator.run)
    finish = finish_of(arithmetic, operator)
    given_of = operator.given or nothing

    @device
    def rows(source, other, out, extra, windows, row, end, tables, walk, numbers):
        while row < end:
            window = in_row(windows, row, tables, walk)
            given = given_of(extra, window, walk)
            total = fold(source, other, window, walk, numbers, given)
            finish(total, source, other, out, extra, window, walk, numbers)
            row = whole(row + 1)

    return rows


def make_gather(arithmetic: Arithmetic, operator: Operator) -> Callable[..., None]:
    """The kernel of an operator, for windows of any size."""
    whole = arithmetic.whole
    locate, _, _ = make_locate(arithmetic)
    one_by_one = make_rows(arithmetic, operator)

    def gather(source, other, out, extra, tables, walk, numbers):
        number = whole(whole(cuda.blockIdx.x * cuda.blockDim.x) + cuda.threadIdx.x)
        if number < walk.threads:
            row, windows = locate(number, tables, walk)
            end = whole(min(whole(row + walk.band), walk.row.size.size))
            one_by_one(source, other, out, extra, windows, row, end, tables, walk, numbers)

    return gather
