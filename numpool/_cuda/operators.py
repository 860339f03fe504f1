"""What kernels do with taps and with results, for each operator and direction; see gather.Operator.

Forward, `source` is the input; backward it is the incoming gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpool._cuda.gather import Operator, only_part, same_total
from numpool._cuda.scalars import (
    Arithmetic,
    device,
    lowest,
    reader,
    rounding_writer,
    scalar,
    writer,
)
from numpool._cuda.sums import PAIRS, RUN, SINGLES, WHOLE, Sums


def _writing(arithmetic: Arithmetic, result: Any) -> Any:
    """The `finish` that writes a result."""
    subscript = arithmetic.subscript

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = result(total, window, numbers)

    return finish


def _max_type(dtype: np.dtype) -> np.dtype:
    if dtype == np.float16:
        return np.dtype(np.float32)
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype


def make_max(arithmetic: Arithmetic, dtype: np.dtype) -> Operator:
    """The largest tap."""
    subscript = arithmetic.subscript
    convert, write = reader(dtype, _max_type(dtype)), writer(dtype)
    least = lowest(dtype)

    @device
    def start():
        return least

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return scalar.larger(part, convert(source[subscript(at)]))

    @device
    def result(total, window, numbers):
        return write(total)

    finish = _writing(arithmetic, result)
    larger = scalar.larger
    return Operator(
        start, same_total, take, only_part, finish, join=larger, result=result, combine=larger,
        total=(type(least),),
    )  # fmt: skip


def _arg_max(
    arithmetic: Arithmetic, convert: Any, least: Any, index_dtype: np.dtype | None = None
) -> Operator:
    """The pair of the largest `convert(element)` and its code, -1 of no tap; what a pass before
    has found has its codes, of `index_dtype`, in `other`.
    """
    whole, unsigned = arithmetic.whole, arithmetic.unsigned
    subscript = arithmetic.subscript
    marker = None if index_dtype is None else _nowhere(index_dtype)

    @device
    def code_of(other, other_at, code):
        if marker is None:
            return whole(code)
        found = np.int64(other[subscript(other_at)])
        return whole(-1) if found == marker else whole(whole(found) + code)

    @device
    def preferred(pair, other_pair):
        best, best_code = pair
        value, code = other_pair
        second = scalar.prefers_second(best, unsigned(best_code), value, unsigned(code))
        return (value if second else best), (code if second else best_code)

    @device
    def start():
        return least, whole(-1)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        value = convert(source[subscript(at)])
        return preferred(part, (value, code_of(other, other_at, code)))

    kinds = (type(least), np.int32)
    return Operator(start, same_total, take, only_part, None, combine=preferred, total=kinds)


def make_arg_max(
    arithmetic: Arithmetic, dtype: np.dtype, index_dtype: np.dtype, further: bool = False
) -> Operator:
    """The largest tap and its code; `further`, of what a pass before has found."""
    subscript = arithmetic.subscript
    convert, least = reader(dtype, _max_type(dtype)), lowest(dtype)
    found = _arg_max(arithmetic, convert, least, index_dtype if further else None)
    write, write_index = writer(dtype), index_writer(index_dtype)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        value, code = total
        out[subscript(window.out)] = write(value)
        extra[subscript(window.extra)] = write_index(code)

    return found._replace(finish=finish)


def make_arg_code(
    arithmetic: Arithmetic, dtype: np.dtype, index_dtype: np.dtype, magnitude: bool
) -> Operator:
    """The code of the largest tap, or of that of largest `magnitude`, alone."""
    subscript = arithmetic.subscript
    convert = reader(dtype, _max_type(dtype))
    if magnitude:
        plain = convert
        convert = device(lambda value: abs(plain(value)))
    write_index = index_writer(index_dtype)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = write_index(total[1])

    return _arg_max(arithmetic, convert, lowest(dtype))._replace(finish=finish)


def make_index(arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype) -> Operator:
    """An index in another dtype, that of no tap as that dtype has it."""
    subscript = arithmetic.subscript
    marker, nowhere = dtype.type(_nowhere(dtype)), np.int64(-1)
    write = index_writer(result)

    @device
    def start():
        return nowhere

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        found = source[subscript(at)]
        return nowhere if found == marker else np.int64(found)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = write(total)

    return Operator(start, same_total, take, only_part, finish)


def _nowhere(dtype: np.dtype) -> int:
    """What an index of no tap is."""
    return -1 if dtype.kind == "i" else int(np.iinfo(dtype).max)


def index_writer(dtype: np.dtype) -> Any:
    """A function that makes an index of a code: of -1, that of no tap, all bits."""
    cast, mask = dtype.type, _nowhere(dtype)
    if dtype.itemsize == 8:
        return device(lambda code: cast(np.int64(code)))
    return device(lambda code: cast(code & mask))


# ---------------------------------------------------------------- sums


def _sums(dtype: np.dtype, computed: np.dtype) -> tuple[Sums, np.dtype]:
    """How elements of a dtype are summed up for an average, and as what they are read."""
    if dtype.kind in "iub" and dtype.itemsize <= 4:
        return WHOLE, np.dtype(np.int64)
    return (SINGLES if computed == np.float32 else PAIRS), computed


def make_average(
    arithmetic: Arithmetic,
    dtype: np.dtype,
    computed: np.dtype,
    result: np.dtype,
    further: bool = False,
) -> Operator:
    """The sum of the taps over the divisor; `further`, of the taps and of a sum in `extra`."""
    subscript = arithmetic.subscript
    sums, element = _sums(dtype, computed)
    start, begin, absorb, combine, kinds, sum_of = sums
    convert, write = reader(dtype, element), rounding_writer(result)
    cast = computed.type

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return part + convert(source[subscript(at)])

    @device
    def quotient(total, window, numbers):
        divisor = cast(window.depth_share) * cast(window.row_share)
        divisor = divisor * cast(window.column_share) * cast(numbers.divisor)
        return write(cast(sum_of(total)) / divisor)

    @device
    def finish_further(total, source, other, out, extra, window, walk, numbers):
        total = absorb(total, extra[subscript(window.extra)])
        out[subscript(window.out)] = quotient(total, window, numbers)

    finish = finish_further if further else _writing(arithmetic, quotient)
    return Operator(
        start, begin, take, absorb, finish, RUN, join=scalar.add, result=quotient,
        combine=combine, total=kinds,
    )  # fmt: skip


def make_spread_average(
    arithmetic: Arithmetic,
    dtype: np.dtype,
    computed: np.dtype,
    result: np.dtype,
    further: bool = False,
) -> Operator:
    """Backward: the sum of the gradients, each over the divisor; `further`, of them and of a sum in
    `extra`.
    """
    subscript = arithmetic.subscript
    convert, write = reader(dtype, computed), writer(result)
    cast = computed.type
    zero = cast(0)

    @device
    def start():
        return zero

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return part + convert(source[subscript(at)]) * cast(numbers.inverse)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        if further:
            total += extra[subscript(window.extra)]
        out[subscript(window.out)] = write(total)

    return Operator(start, same_total, take, only_part, finish)


def make_to_index(
    arithmetic: Arithmetic,
    dtype: np.dtype,
    index_dtype: np.dtype,
    computed: np.dtype,
    result: np.dtype,
    signed: bool,
) -> Operator:
    """Backward: the sum of the gradients whose index, in `other`, is the input's own code; with the
    sign of the input, in `extra`, if `signed`.
    """
    subscript = arithmetic.subscript
    convert, write = reader(dtype, computed), writer(result)
    cast = computed.type
    zero = cast(0)
    convert_x = reader(result, computed)
    nowhere = np.int64(_nowhere(index_dtype))

    @device
    def start():
        return zero

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        found = np.int64(other[subscript(other_at)])
        gradient = zero
        if (found == np.int64(code)) & (found != nowhere):
            gradient = convert(source[subscript(at)])
            if signed:
                gradient = cast(scalar.toward(gradient, given))
        return part + gradient

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = write(total)

    @device
    def given(extra, window):
        return convert_x(extra[subscript(window.extra)])

    return Operator(start, same_total, take, only_part, finish, given=given if signed else None)
