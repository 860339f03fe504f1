"""What kernels do with taps and with results, for each operator and direction; see gather.Operator.

Forward, `source` is the input; backward it is the incoming gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpool._cuda.gather import Operator, make_take, only_part, same_total, written
from numpool._cuda.scalars import (
    Arithmetic,
    device,
    lowest,
    magnitude_reader,
    reader,
    rounding_writer,
    scalar,
    writer,
)
from numpool._cuda.sums import PAIRS, RUN, SINGLES, WHOLE, Sums


def _max_type(dtype: np.dtype) -> np.dtype:
    if dtype == np.float16:
        return np.dtype(np.float32)
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype


def make_max(arithmetic: Arithmetic, dtype: np.dtype) -> Operator:
    """The largest tap."""
    larger, least = scalar.larger, lowest(dtype)
    take = make_take(arithmetic, larger, reader(dtype, _max_type(dtype)))
    return Operator(
        device(lambda: least), same_total, take, only_part, result=written(writer(dtype)),
        join=larger, combine=larger, total=(type(least),), neutral=-np.inf,
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
        return preferred(part, (convert(source[subscript(at)]), code_of(other, other_at, code)))

    kinds = (type(least), np.int32)
    return Operator(start, same_total, take, only_part, combine=preferred, total=kinds)


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
    convert = (magnitude_reader if magnitude else reader)(dtype, _max_type(dtype))
    write_index = index_writer(index_dtype)
    result = device(lambda total, window, numbers: write_index(total[1]))
    return _arg_max(arithmetic, convert, lowest(dtype))._replace(result=result)


def make_index(arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype) -> Operator:
    """An index in another dtype, that of no tap as that dtype has it."""
    subscript = arithmetic.subscript
    marker, nowhere = dtype.type(_nowhere(dtype)), np.int64(-1)
    result_of = written(index_writer(result))

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        found = source[subscript(at)]
        return nowhere if found == marker else np.int64(found)

    return Operator(device(lambda: nowhere), same_total, take, only_part, result=result_of)


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


def _with_rest(arithmetic: Arithmetic, operator: Operator, add: Any) -> Operator:
    """The operator that adds a sum in `extra` to its total."""
    subscript, result = arithmetic.subscript, operator.result

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        total = add(total, extra[subscript(window.extra)])
        out[subscript(window.out)] = result(total, window, numbers)

    return operator._replace(finish=finish)


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
    sums, element = _sums(dtype, computed)
    start, begin, absorb, combine, kinds, sum_of = sums
    take = make_take(arithmetic, scalar.add, reader(dtype, element))
    write, cast = rounding_writer(result), computed.type

    @device
    def quotient(total, window, numbers):
        divisor = cast(window.depth_share) * cast(window.row_share)
        divisor = divisor * cast(window.column_share) * cast(numbers.divisor)
        return write(cast(sum_of(total)) / divisor)

    operator = Operator(
        start, begin, take, absorb, RUN, quotient, join=scalar.add, combine=combine, total=kinds
    )
    return _with_rest(arithmetic, operator, absorb) if further else operator


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
    convert, cast = reader(dtype, computed), computed.type
    zero = cast(0)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return part + convert(source[subscript(at)]) * cast(numbers.inverse)

    result_of = written(writer(result))
    operator = Operator(device(lambda: zero), same_total, take, only_part, result=result_of)
    return _with_rest(arithmetic, operator, scalar.add) if further else operator


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
    convert, cast = reader(dtype, computed), computed.type
    zero = cast(0)
    convert_x = reader(result, computed)
    nowhere = np.int64(_nowhere(index_dtype))

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
    def given(extra, window, walk):
        return convert_x(extra[subscript(window.extra)])

    return Operator(
        device(lambda: zero), same_total, take, only_part,
        result=written(writer(result)), given=given if signed else None,
    )  # fmt: skip
