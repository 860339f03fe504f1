"""What kernels do with taps and with results for Lp norms and their gradients; see
gather.Operator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpool._cuda.gather import (
    Operator,
    make_fold,
    make_take,
    only_part,
    same_total,
    written,
)
from numpool._cuda.scalars import Arithmetic, device, magnitude_reader, reader, scalar, writer
from numpool._cuda.sums import DOUBLES, PAIRS, RUN

_DOUBLE = np.dtype(np.float64)


def _norm_of_taps(arithmetic: Arithmetic, dtype: np.dtype, root: str) -> Any:
    """A function that takes a norm whose sum of powers leaves the range: scaled by the largest
    tap.
    """
    subscript = arithmetic.subscript
    magnitude, raised = magnitude_reader(dtype, _DOUBLE), getattr(scalar, root)
    take_larger = make_take(arithmetic, scalar.larger, magnitude)

    @device
    def take_scaled(part, source, at, other, other_at, code, numbers, given):
        return part + scalar.ratio_power(magnitude(source[subscript(at)]), given, numbers.p, 0.0)

    largest_of = make_fold(arithmetic, DOUBLES.start, same_total, take_larger, only_part)
    total_of = make_fold(arithmetic, PAIRS.start, PAIRS.begin, take_scaled, PAIRS.absorb, RUN)
    sum_of = PAIRS.value

    @device
    def norm(source, other, window, walk, numbers):
        largest = largest_of(source, other, window, walk, numbers, 0.0)
        result = largest
        if 0.0 < largest < np.inf:
            total = sum_of(total_of(source, other, window, walk, numbers, largest))
            inverse, correction = numbers.inverse, numbers.correction
            result = scalar.scaled_norm(
                largest, total, raised(total, inverse, correction), inverse, correction,
                numbers.scale,
            )  # fmt: skip
        return result

    return norm


def _rooted(
    arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype, root: str, exact: bool
) -> Any:
    """A function that makes a result of a sum of powers; `exact` where that may leave the range."""
    write, rooted = writer(result), getattr(scalar, root)
    norm_of_taps = _norm_of_taps(arithmetic, dtype, root)

    @device
    def result_of(total, source, other, window, walk, numbers):
        if exact and ((total < numbers.low and total != 0.0) or total > numbers.high):
            return write(norm_of_taps(source, other, window, walk, numbers))
        return write(scalar.finish_lp(rooted(total, numbers.inverse, numbers.correction)))

    return result_of


def _taken_power(arithmetic: Arithmetic, dtype: np.dtype, lift: str) -> Any:
    """The `take` of the sum of powers."""
    subscript = arithmetic.subscript
    magnitude, raised = magnitude_reader(dtype, _DOUBLE), getattr(scalar, lift)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        size = magnitude(source[subscript(at)])
        return part + scalar.lift_lp(size, raised(size, numbers.p, 0.0), 5e-324)

    return take


def make_norm(
    arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype, lift: str, root: str, exact: bool
) -> Operator:
    """The Lp norm, by the forms of a power and its root."""
    subscript = arithmetic.subscript
    take = _taken_power(arithmetic, dtype, lift)
    result_of = _rooted(arithmetic, dtype, result, root, exact)
    # Other results than float64 lose nothing of plain sums.
    start, begin, absorb, combine, kinds, sum_of = PAIRS if result == _DOUBLE else DOUBLES

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        norm = result_of(sum_of(total), source, other, window, walk, numbers)
        out[subscript(window.out)] = norm

    return Operator(start, begin, take, absorb, RUN, finish=finish, combine=combine, total=kinds)


def make_powers(arithmetic: Arithmetic, dtype: np.dtype, lift: str) -> Operator:
    """The first pass of the norm: the sum of powers."""
    take = _taken_power(arithmetic, dtype, lift)
    start, begin, absorb, _, _, sum_of = PAIRS
    return Operator(start, begin, take, absorb, RUN, written(sum_of))


def make_root(arithmetic: Arithmetic, dtype: np.dtype) -> Operator:
    """The last pass of the norm: from the sum of powers, in `extra`."""
    subscript = arithmetic.subscript
    result_of = _rooted(arithmetic, dtype, _DOUBLE, "power", exact=True)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        total = extra[subscript(window.extra)]
        out[subscript(window.out)] = result_of(total, source, other, window, walk, numbers)

    return Operator(finish=finish)


def make_largest_magnitude(arithmetic: Arithmetic, dtype: np.dtype, result: np.dtype) -> Operator:
    """The norm for p = inf."""
    take = make_take(arithmetic, scalar.larger, magnitude_reader(dtype, _DOUBLE))
    result_of = written(writer(result))
    return Operator(DOUBLES.start, same_total, take, only_part, result=result_of)


def _passed(arithmetic: Arithmetic, dtype: np.dtype, y_dtype: np.dtype, form: str) -> Any:
    """A function that gives what an output sends to its taps, less the tap's factor."""
    subscript = arithmetic.subscript
    convert, convert_y = reader(dtype, _DOUBLE), reader(y_dtype, _DOUBLE)
    raised = getattr(scalar, form)

    @device
    def passed(source, at, other, other_at, numbers):
        g, y = convert(source[subscript(at)]), convert_y(other[subscript(other_at)])
        power = raised(y, numbers.exponent, numbers.correction)
        return scalar.lift_lp_gradient(g, y, power, numbers.exponent)

    return passed


def _gradient_of(
    arithmetic: Arithmetic, dtype: np.dtype, y_dtype: np.dtype, x_dtype: np.dtype, form: str
) -> Any:
    """A function that makes the gradient at x from the sum of what outputs send."""
    subscript = arithmetic.subscript
    convert, convert_y, convert_x = (reader(d, _DOUBLE) for d in (dtype, y_dtype, x_dtype))
    raised = getattr(scalar, form)

    @device
    def take_singly(part, source, at, other, other_at, code, numbers, given):
        g, y = convert(source[subscript(at)]), convert_y(other[subscript(other_at)])
        return part + scalar.lp_gradient(
            g, given, y, numbers.exponent, numbers.correction, numbers.scale
        )

    tap_by_tap = make_fold(arithmetic, DOUBLES.start, same_total, take_singly, only_part)

    @device
    def gradient_of(total, source, other, extra, window, walk, numbers):
        x = convert_x(extra[subscript(window.extra)])
        power = raised(abs(x), numbers.exponent, numbers.correction)
        result = scalar.finish_lp_gradient(total, x, power, numbers.exponent)
        if result != result:
            result = tap_by_tap(source, other, window, walk, numbers, x)
        return result

    return gradient_of


def make_norm_gradient(
    arithmetic: Arithmetic, dtype: np.dtype, y_dtype: np.dtype, x_dtype: np.dtype, form: str
) -> Operator:
    """Backward of the norm: `other` is the forward result, `extra` the forward input."""
    subscript = arithmetic.subscript
    passed = _passed(arithmetic, dtype, y_dtype, form)
    gradient_of = _gradient_of(arithmetic, dtype, y_dtype, x_dtype, form)
    write = writer(x_dtype)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return part + passed(source, at, other, other_at, numbers)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        result = gradient_of(total, source, other, extra, window, walk, numbers)
        out[subscript(window.out)] = write(result)

    return Operator(DOUBLES.start, same_total, take, only_part, finish=finish)


def make_passed(arithmetic: Arithmetic, form: str) -> Operator:
    """The first pass of that: what outputs send to their taps, less the taps' factors."""
    passed = _passed(arithmetic, _DOUBLE, _DOUBLE, form)

    @device
    def take(part, source, at, other, other_at, code, numbers, given):
        return passed(source, at, other, other_at, numbers)

    return Operator(DOUBLES.start, same_total, take, only_part, result=written(same_total))


def make_from_passed(arithmetic: Arithmetic, x_dtype: np.dtype, form: str) -> Operator:
    """The last pass of that: the gradients of the input in the place of sums, in `out`, of what
    outputs send.
    """
    subscript = arithmetic.subscript
    gradient_of = _gradient_of(arithmetic, _DOUBLE, _DOUBLE, x_dtype, form)

    @device
    def finish(total, source, other, out, extra, window, walk, numbers):
        total = out[subscript(window.out)]
        result = gradient_of(total, source, other, extra, window, walk, numbers)
        out[subscript(window.out)] = result

    return Operator(finish=finish)
