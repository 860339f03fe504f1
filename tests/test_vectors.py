"""Formulas as vector instructions are those of `_operators`."""

import functools
import math

import numba
import numpy as np
import pytest
from numba import types

import numpool
from numpool import _operators
from numpool._cpu import rows, vectors
from numpool._cpu.memory import address_of

SPECIAL = [-math.inf, -2.5, -1.0, -0.0, 0.0, 1e-40, 3.0, math.inf, math.nan]


def reducer(combine, identity, dtype):
    """`make_reduce_run` as a function of an array."""
    run = vectors.make_reduce_run(combine, identity, dtype)
    return numba.njit(lambda array: run(address_of(array), np.int64(array.size)))


def same(a, b):
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
def test_the_largest_of_a_run(dtype):
    rng = np.random.default_rng(3)
    kind = np.dtype(dtype)
    floating = kind.kind == "f"
    lowest = -math.inf if floating else int(np.iinfo(kind).min)
    largest = reducer(vectors.larger, lowest, getattr(types, dtype))
    lanes = vectors.lanes_of(getattr(types, dtype))
    for size in (*range(lanes, 2 * lanes + 3), 8 * lanes, 8 * lanes + 1, 23 * lanes - 1, 700):
        for _ in range(5):
            if floating:
                array = rng.choice(np.array(SPECIAL, kind), size)
                array[rng.random(size) < 0.97] = -7  # so that NaN is rare enough to be missed
            else:
                array = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, size, kind)
            with np.errstate(invalid="ignore"):
                expected = functools.reduce(_operators.larger, array)
            assert same(largest(array), expected), (size, array)


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64"])
def test_the_sum_of_a_run(dtype):
    rng = np.random.default_rng(4)
    kind = np.dtype(dtype)
    total = reducer(vectors.add, 0, getattr(types, dtype))
    lanes = vectors.lanes_of(getattr(types, dtype))
    for size in (*range(lanes, 2 * lanes + 3), 8 * lanes + 5, 23 * lanes - 1, 1999):
        # Whole numbers, whose sums are exact in any order.
        array = rng.integers(-9, 10, size).astype(kind)
        assert total(array) == array.sum(dtype=np.int64)


@pytest.mark.parametrize(
    "source, dtype, form",
    [
        ("uint8", "uint16", None),
        ("int8", "int16", None),
        ("uint16", "int32", None),
        ("float32", "float32", "itself"),
        ("float32", "float32", "square"),
        ("float64", "float64", "square"),
        ("float32", "float64", "cube"),
    ],
)
def test_elements_are_lifted_as_one_by_one(source, dtype, form):
    stored, computed = getattr(types, source), getattr(types, dtype)
    run = vectors.make_reduce_run(vectors.add, 0, computed, stored, form)
    total = numba.njit(lambda array: run(address_of(array), np.int64(array.size)))
    lift = rows.lifter(source, computed, form)
    one = numba.njit(lambda array: lift(array[0]))
    kind = np.dtype(source)
    values = [*SPECIAL, 1e-45, -1e-30, 1e30, -7e-200]
    if kind.kind != "f":
        values = [np.iinfo(kind).min, -1 % (np.iinfo(kind).max + 1), 0, 1, np.iinfo(kind).max]
    with np.errstate(over="ignore", under="ignore"):
        values = np.array(values).astype(kind)
    lanes = vectors.lanes_of(computed)
    for value in values:
        for size in (lanes, 2 * lanes + 3, 9 * lanes + 1):
            array = np.zeros(size, kind)
            array[size // 2] = value
            assert same(total(array), one(array[size // 2 :])), (value, size)


@pytest.mark.parametrize("size", [256, 500, 2048, 2049, 4095, 8000])
def test_sums_of_long_windows_are_as_shallow_as_promised(size):
    # The largest error has its way where all terms are alike and round the same way.
    x = np.full((4, size), np.float32(1 + 2**-23) * 0.7, np.float32)
    found = numpool.avg_pool1d(x, size)
    exact = math.fsum(x[0].tolist()) / size
    bound = (math.ceil(math.log2(size)) + 2) * 2.0**-23 * exact
    assert abs(found - exact).max() <= bound
