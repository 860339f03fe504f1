"""The loops over lines do to each element what the formulas do, and touch no others."""

import functools
import itertools
import math

import numba
import numpy as np
import pytest
from numba import types

from numpool import _operators
from numpool._cpu import halves, line_loops, rows, vectors
from numpool._cpu.memory import address_of

# From none to several vectors of any type, with all that may be left at both ends.
SIZES = (*range(0, 20), 31, 32, 33, 47, 63, 64, 65, 66, 95, 127, 128, 129, 130, 200, 333)
SPECIAL = (-math.inf, -2.5, -0.0, 0.0, 1e-40, 3.0, math.inf, math.nan)

COMBINED = {
    "larger": (vectors.larger, _operators.larger),
    "add": (vectors.add, _operators.add),
}


def elements(rng, dtype, size):
    """Numbers whose sums are exact, some of them special."""
    kind = np.dtype(dtype)
    values = rng.integers(0, 20, size).astype(kind)
    if kind.kind == "f":
        some = rng.random(size) < 0.1
        values[some] = rng.choice(np.array(SPECIAL, kind), some.sum())
    return values


def line(array, start, size):
    """Code of a line in a kernel: the address of a part of an array, and its size."""
    return address_of(array) + start * array.itemsize, np.int64(size)


line = numba.njit(line)


def caller(loop, lines, targets=1):
    """A loop as a function of an array, places of targets and lines in it, and the size: of
    `lines` lines, without shifts.
    """
    zero = np.int64(0)
    code = {
        (0, 1): lambda a, at, n: loop(line(a, at[0], n), zero),
        (1, 1): lambda a, at, n: loop(line(a, at[0], n), line(a, at[1], n), zero, zero),
        (2, 1): lambda a, at, n: loop(
            line(a, at[0], n), line(a, at[1], n), line(a, at[2], n), zero, zero, zero
        ),
        (3, 1): lambda a, at, n: loop(
            line(a, at[0], n), line(a, at[1], n), line(a, at[2], n), line(a, at[3], n),
            zero, zero, zero, zero,
        ),
        (4, 1): lambda a, at, n: loop(
            line(a, at[0], n), line(a, at[1], n), line(a, at[2], n), line(a, at[3], n),
            line(a, at[4], n),
        ),
        (5, 1): lambda a, at, n: loop(
            line(a, at[0], n), line(a, at[1], n), line(a, at[2], n), line(a, at[3], n),
            line(a, at[4], n), line(a, at[5], n),
        ),
        ("pairs", 1): lambda a, at, n: loop(
            line(a, at[0], n), line(a, at[1], 2 * n), zero, zero
        ),
        ("pairs", 2): lambda a, at, n: loop(
            line(a, at[0], n), line(a, at[1], n), line(a, at[2], 2 * n), zero, zero
        ),
    }  # fmt: skip
    return numba.njit(code[lines, targets])


# Name: (lines, targets, the target's element from a way to combine, the identity, elements).
LOOPS = {
    "fill": (0, 1, lambda f, nothing: nothing),
    "copy": (1, 1, lambda f, nothing, a: a),
    "two": (2, 1, lambda f, nothing, a, b: f(a, b)),
    "three": (3, 1, lambda f, nothing, a, b, c: f(f(a, b), c)),
    "into": (1, 1, lambda f, nothing, own, a: f(own, a)),
    "two_into": (2, 1, lambda f, nothing, own, a, b: f(own, f(a, b))),
    "neighbours": ("pairs", 1, lambda f, nothing, a, b: f(a, b)),
    "neighbours_and_evens": ("pairs", 2, lambda f, nothing, a, b: (f(a, b), a)),
    "four": (4, 1, lambda f, nothing, a, b, c, d: f(f(a, b), f(c, d))),
    "five": (5, 1, lambda f, nothing, a, b, c, d, e: f(f(a, b), f(f(d, e), c))),
}

# Name: how many lines of elements.
LIFTS = {"lift": 1, "lift_two": 2, "lift_three": 3, "lift_into": 1, "lift_two_into": 2}


def check(run, dtype, lines, targets, of_elements, in_place, source=None):
    """Run a loop over lines of many sizes, at many places of a cache line."""
    rng = np.random.default_rng(len(LOOPS))
    for size, shift in itertools.product(SIZES, (0, 3)):
        step, count = (2, 1) if lines == "pairs" else (1, lines)
        room = 2 * max(SIZES) + 8
        places = np.array([shift + room * i for i in range(targets + count)], np.int64)
        array = elements(rng, dtype, room * (targets + count))
        expected = array.copy()
        for i in range(size):
            own = [array[places[0] + i]] if in_place else []
            taps = [array[p + step * i + j] for p in places[targets:] for j in range(step)]
            with np.errstate(invalid="ignore", over="ignore"):
                results = of_elements(*own, *taps)
            for place, result in zip(places, (results,) if targets == 1 else results, strict=False):
                expected[place + i] = result
        run(array, places, size)
        np.testing.assert_array_equal(array, expected, f"{size} elements from {shift} on")


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize(
    "combine, dtype",
    [
        ("larger", "float32"), ("larger", "uint8"), ("larger", "int64"), ("add", "float32"),
        ("add", "float64"), ("add", "int16"),
    ],
)  # fmt: skip
def test_lines_are_combined_element_by_element(name, combine, dtype):
    of_vectors, of_scalars = COMBINED[combine]
    loops = line_loops.make_loops(of_vectors, 7, getattr(types, dtype))
    loop = loops[list(LOOPS).index(name)]
    lines, targets, results = LOOPS[name]
    kind = np.dtype(dtype).type
    check(
        caller(loop, lines, targets), dtype, lines, targets,
        lambda *taps: results(lambda a, b: kind(of_scalars(a, b)), kind(7), *taps),
        in_place="into" in name,
    )  # fmt: skip


def test_halves_are_combined_by_their_bits():
    loop = line_loops.make_loops(halves.larger, halves.LOWEST, types.uint16)[2]
    run = caller(loop, 2)
    rng = np.random.default_rng(5)
    for size in SIZES:
        array = rng.choice(np.array([*SPECIAL, 1.5, -7.0], np.float16), 3 * size + 1)
        bits = array.view(np.uint16)
        a, b = array[size : 2 * size].copy(), array[2 * size : 3 * size].copy()
        run(bits, np.arange(3) * size, size)
        np.testing.assert_array_equal(array[:size], np.maximum(a, b))


def test_codes_of_packed_values_are_shifted():
    loops = line_loops.make_loops(vectors.larger, 0, types.int64, line_loops.shifted)
    two, neighbours = loops[2], loops[6]
    rng = np.random.default_rng(6)

    @numba.njit
    def run(array, size):
        two(line(array, 0, size), line(array, 100, size), line(array, 200, size), 5, -9, 0)
        neighbours(line(array, 300, size), line(array, 100, 2 * size), 50, 0)

    for size in (1, 7, 8, 9, 50):
        array = rng.integers(-100, 100, 400)
        a, b = array[100 : 100 + size], array[200 : 200 + size]
        evens, odds = array[100 : 100 + 2 * size].reshape(-1, 2).T
        expected = np.maximum(a - 5, b + 9), np.maximum(evens, odds - 50)
        run(array, size)
        np.testing.assert_array_equal(array[:size], expected[0])
        np.testing.assert_array_equal(array[300 : 300 + size], expected[1])


def folding(loop, count):
    """A lift as a function of: the target and its start, elements and where lines of them start,
    size, rows.
    """
    zero = np.int64(0)
    calls = {
        1: lambda out, to, x, at, n, by: loop(line(out, to, n), line(x, at[0], n), zero, zero, by),
        2: lambda out, to, x, at, n, by: loop(
            line(out, to, n), line(x, at[0], n), line(x, at[1], n), zero, zero, zero, by
        ),
        3: lambda out, to, x, at, n, by: loop(
            line(out, to, n), line(x, at[0], n), line(x, at[1], n), line(x, at[2], n),
            zero, zero, zero, zero, by,
        ),
    }  # fmt: skip
    return numba.njit(calls[count])


@pytest.mark.parametrize(
    "source, dtype, form",
    [("uint8", "uint16", None), ("float32", "float64", "cube"), ("float32", "float32", "square")],
)
@pytest.mark.parametrize("name", LIFTS)
def test_rows_of_elements_become_accumulators_as_one_by_one(name, source, dtype, form):
    stored, computed = getattr(types, source), getattr(types, dtype)
    lift = functools.partial(vectors.lifted, source=stored, dtype=computed, form=form)
    lifts = line_loops.make_lifts(vectors.add, computed, stored, lift)
    run = folding(lifts[list(LIFTS).index(name)], LIFTS[name])
    one = rows.lifter(source, computed, form)
    lifted = numba.vectorize([computed(stored)])(lambda value: one(value))
    rng = np.random.default_rng(8)
    for size, (count, backwards) in itertools.product(SIZES, [(1, False), (4, False), (3, True)]):
        lines, out = elements(rng, source, (5, 3, 336)), elements(rng, dtype, (4, 340))
        taken = lines[:count] if not backwards else lines[4 : 4 - count : -1]
        taps = lifted(taken[:, : LIFTS[name], 2 : 2 + size])
        expected = out.copy()
        with np.errstate(invalid="ignore"):
            total = functools.reduce(np.add, np.moveaxis(taps, 1, 0))
            own = out[:count, 1 : 1 + size]
            expected[:count, 1 : 1 + size] = own + total if "into" in name else total
        starts = np.arange(3) * 336 + 2 + (4 * 3 * 336 if backwards else 0)
        step = lines.strides[0] * (-1 if backwards else 1)
        run(out.reshape(-1), 1, lines.reshape(-1), starts, size, (count, out.strides[0], step))
        np.testing.assert_array_equal(out, expected, f"{count} rows of {size}, {backwards}")
