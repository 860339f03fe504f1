"""How kernels sum up: a few numbers one by one, and the sums of such with more digits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from numpool._cuda.scalars import device

# So many are summed up one by one, longer sums are sums of such: passes stay within the bounds.
RUN = 4


class Sums(NamedTuple):
    """What gather.Operator has of the same names, for sums; `value(total)` is the sum."""

    start: Any
    begin: Any
    absorb: Any
    combine: Any
    total: tuple[type, ...]
    value: Any


@device
def _whole_zero():
    return np.int64(0)


@device
def _begin_whole(total):
    return np.int64(0)


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
def _add_pairs(a, b):
    high, lost = _add_exactly(a, b[0])
    return high, lost + b[1]


@device
def _itself(total):
    return total


@device
def _sum_of_pair(total):
    high, lost = total
    result = high + lost
    return result if result == result else high  # infinity less infinity


WHOLE = Sums(_whole_zero, _begin_whole, _add, _add, (np.int64,), _itself)
SINGLES = Sums(_double_zero, _begin_single, _add_single, _add, (np.float64,), _itself)
DOUBLES = Sums(_double_zero, _begin_double, _add, _add, (np.float64,), _itself)
PAIRS = Sums(
    _pair_of_zeros, _begin_double, _add_exactly, _add_pairs, (np.float64,) * 2, _sum_of_pair
)
