"""What kernels do with taps and with results, for each operator and direction; see gather.Operator.

Forward, `source` is the input; backward it is the incoming gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpool._cuda.gather import Operator, make_fold
from numpool._cuda.scalars import (
    Arithmetic,
    device,
    lowest,
    reader,
    rounding_writer,
    scalar,
    writer,
)

# So many are summed up one by one, longer sums are sums of such: two passes stay within the bounds.
_RUN = 4


@device
def _total(total):
    return total


@device
def _part(total, part):
    return part


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
        start, _total, take, _part, finish, join=larger, result=result, combine=larger,
        total=type(least),
    )  # fmt: skip


def _arg_max(arithmetic: Arithmetic, convert: Any, least: Any) -> tuple[Any, Any]:
    """`start` and `take` of pairs of the largest `convert(element)` and its code, -1 of no tap."""
    whole, unsigned = arithmetic.whole, arithmetic.unsigned
    subscript = arithmetic.subscript

    @device
    def start():
        return least, whole(-1)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        best, best_code = part
        value = convert(source[subscript(at)])
        second = scalar.prefers_second(best, unsigned(best_code), value, unsigned(code))
        return (value if second else best), (whole(code) if second else best_code)

    return start, take


def make_arg_max(arithmetic: Arithmetic, dtype: np.dtype, index_dtype: np.dtype) -> Operator:
    """The largest tap and its code."""
    subscript = arithmetic.subscript
    start, take = _arg_max(arithmetic, reader(dtype, _max_type(dtype)), lowest(dtype))
    write, write_index = writer(dtype), index_writer(index_dtype)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        value, code = total
        out[subscript(window.out)] = write(value)
        extra[subscript(window.extra)] = write_index(code)

    return Operator(start, _total, take, _part, finish)


def make_arg_code(
    arithmetic: Arithmetic, dtype: np.dtype, index_dtype: np.dtype, magnitude: bool
) -> Operator:
    """The code of the largest tap, or of that of largest `magnitude`, alone."""
    subscript = arithmetic.subscript
    convert = reader(dtype, _max_type(dtype))
    if magnitude:
        plain = convert
        convert = device(lambda value: abs(plain(value)))
    start, take = _arg_max(arithmetic, convert, lowest(dtype))
    write_index = index_writer(index_dtype)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = write_index(total[1])

    return Operator(start, _total, take, _part, finish)


def make_widened_index(arithmetic: Arithmetic, dtype: np.dtype) -> Operator:
    """An index as an int64, that of no tap as -1."""
    subscript = arithmetic.subscript
    nowhere = -1 if dtype.kind == "i" else np.iinfo(dtype).max
    none, marker = np.int64(-1), dtype.type(nowhere)

    @device
    def start():
        return none

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        found = source[subscript(at)]
        return none if found == marker else np.int64(found)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = total

    return Operator(start, _total, take, _part, finish)


def index_writer(dtype: np.dtype) -> Any:
    """A function that makes an index of a code: of -1, that of no tap, all bits."""
    cast = dtype.type
    mask = -1 if dtype.kind == "i" else int(np.iinfo(dtype).max)
    if dtype.itemsize == 8:
        return device(lambda code: cast(np.int64(code)))
    return device(lambda code: cast(code & mask))


# ---------------------------------------------------------------- sums


@device
def _double_zero():
    return np.float64(0.0)


@device
def _begin_double(total):
    return np.float64(0.0)


@device
def _begin_single(total):
    return np.float32(0.0)


@device
def _begin_whole(total):
    return np.int64(0)


@device
def _whole_zero():
    return np.int64(0)


@device
def _pair_of_zeros():
    return np.float64(0.0), np.float64(0.0)


@device
def _add(total, part):
    return total + part


@device
def _add_single(total, part):
    return total + np.float64(part)


@device
def _add_exactly(total, part):
    """A sum and what rounding has taken from it."""
    high, lost = total
    after = high + part
    added = after - high
    return after, lost + ((high - (after - added)) + (part - added))


@device
def _sum_of_pair(total):
    high, lost = total
    result = high + lost
    return result if result == result else high  # infinity less infinity


@device
def _itself(total):
    return total


def _sums(dtype: np.dtype, computed: np.dtype) -> tuple[Any, Any, Any, Any, np.dtype]:
    """How elements of a dtype are summed up for an average: `start`, `begin` and `absorb` of runs,
    the sum of a total, and the type of elements.
    """
    if dtype.kind in "iub" and dtype.itemsize <= 4:
        return _whole_zero, _begin_whole, _add, _itself, np.dtype(np.int64)
    if computed == np.float32:
        return _double_zero, _begin_single, _add_single, _itself, computed
    return _pair_of_zeros, _begin_double, _add_exactly, _sum_of_pair, computed


def make_average(
    arithmetic: Arithmetic, dtype: np.dtype, computed: np.dtype, result: np.dtype
) -> Operator:
    """The sum of the taps over the divisor."""
    subscript = arithmetic.subscript
    start, begin, absorb, sum_of, element = _sums(dtype, computed)
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

    finish = _writing(arithmetic, quotient)
    operator = Operator(start, begin, take, absorb, finish, _RUN, join=_add, result=quotient)
    if sum_of is _itself:
        kind = np.int64 if element == np.int64 else np.float64
        return operator._replace(combine=_add, total=kind)
    return operator


def make_spread_average(
    arithmetic: Arithmetic, dtype: np.dtype, computed: np.dtype, result: np.dtype
) -> Operator:
    """Backward: the sum of the gradients, each over the divisor."""
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
        out[subscript(window.out)] = write(total)

    return Operator(start, _total, take, _part, finish)


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
    nowhere = np.int64(-1)
    if index_dtype.kind == "u" and index_dtype.itemsize < 8:
        nowhere = np.int64(np.iinfo(index_dtype).max)

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

    return Operator(start, _total, take, _part, finish, given=given if signed else None)


# ---------------------------------------------------------------- Lp


def _norm_of_taps(arithmetic: Arithmetic, dtype: np.dtype, root: str) -> Any:
    """A function that takes a norm whose sum of powers leaves the range: scaled by the largest
    tap.
    """
    subscript = arithmetic.subscript
    convert, raised = reader(dtype, np.dtype(np.float64)), getattr(scalar, root)

    @device
    def take_larger(part, source, at, other, other_at, code, numbers, given):
        return scalar.larger(part, abs(convert(source[subscript(at)])))

    @device
    def take_scaled(part, source, at, other, other_at, code, numbers, given):
        return part + scalar.ratio_power(abs(convert(source[subscript(at)])), given, numbers.p, 0.0)

    largest_of = make_fold(arithmetic, _double_zero, _total, take_larger, _part)
    total_of = make_fold(arithmetic, _pair_of_zeros, _begin_double, take_scaled, _add_exactly, _RUN)

    @device
    def norm(source, other, window, walk, numbers):
        largest = largest_of(source, other, window, walk, numbers, 0.0)
        result = largest
        if 0.0 < largest < np.inf:
            total = _sum_of_pair(total_of(source, other, window, walk, numbers, largest))
            inverse, correction = numbers.inverse, numbers.correction
            result = scalar.scaled_norm(
                largest, total, raised(total, inverse, correction), inverse, correction,
                numbers.scale,
            )  # fmt: skip
        return result

    return norm


def make_norm(
    arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype, lift: str, root: str, exact: bool
) -> Operator:
    """The Lp norm, by the forms of a power and its root; `exact` where sums of powers may leave the
    range.
    """
    subscript = arithmetic.subscript
    convert, write = reader(dtype, np.dtype(np.float64)), writer(result)
    raised, rooted = getattr(scalar, lift), getattr(scalar, root)
    norm_of_taps = _norm_of_taps(arithmetic, dtype, root)
    start, begin, absorb, sum_of = _pair_of_zeros, _begin_double, _add_exactly, _sum_of_pair
    if result != np.float64:  # float64 loses nothing of such
        start, begin, absorb, sum_of = _double_zero, _begin_double, _add, _itself

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        magnitude = abs(convert(source[subscript(at)]))
        return part + scalar.lift_lp(magnitude, raised(magnitude, numbers.p, 0.0), 5e-324)

    @device
    def root_of(total, numbers):
        return scalar.finish_lp(rooted(total, numbers.inverse, numbers.correction))

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        total = sum_of(total)
        if exact and ((total < numbers.low and total != 0.0) or total > numbers.high):
            out[subscript(window.out)] = write(norm_of_taps(source, other, window, walk, numbers))
        else:
            out[subscript(window.out)] = write(root_of(total, numbers))

    return Operator(start, begin, take, absorb, finish, _RUN)


def make_largest_magnitude(arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype) -> Operator:
    """The norm for p = inf."""
    subscript = arithmetic.subscript
    convert, write = reader(dtype, np.dtype(np.float64)), writer(result)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return scalar.larger(part, abs(convert(source[subscript(at)])))

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        out[subscript(window.out)] = write(total)

    return Operator(_double_zero, _total, take, _part, finish)


def make_norm_gradient(
    arithmetic: Arithmetic, dtype: np.dtype, y_dtype: np.dtype, x_dtype: np.dtype, form: str
) -> Operator:
    """Backward of the norm: `other` is the forward result, `extra` the forward input."""
    subscript = arithmetic.subscript
    double = np.dtype(np.float64)
    convert, convert_y, convert_x = (reader(d, double) for d in (dtype, y_dtype, x_dtype))
    write, raised = writer(x_dtype), getattr(scalar, form)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        g, y = convert(source[subscript(at)]), convert_y(other[subscript(other_at)])
        power = raised(y, numbers.exponent, numbers.correction)
        return part + scalar.lift_lp_gradient(g, y, power, numbers.exponent)

    @device
    def take_singly(part, source, at, other, other_at, code, numbers, given):
        g, y = convert(source[subscript(at)]), convert_y(other[subscript(other_at)])
        return part + scalar.lp_gradient(
            g, given, y, numbers.exponent, numbers.correction, numbers.scale
        )

    tap_by_tap = make_fold(arithmetic, _double_zero, _total, take_singly, _part)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        x = convert_x(extra[subscript(window.extra)])
        power = raised(abs(x), numbers.exponent, numbers.correction)
        result = scalar.finish_lp_gradient(total, x, power, numbers.exponent)
        if result != result:
            result = tap_by_tap(source, other, window, walk, numbers, x)
        out[subscript(window.out)] = write(result)

    return Operator(_double_zero, _total, take, _part, finish)
