"""Backward pooling: properties against the oracle, adjoints, finite differences, cases by hand."""

import math

import cases
import fuzz
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings

import numpool
from numpool import (
    avg_pool,
    avg_pool_backward,
    lp_pool,
    lp_pool_backward,
    max_pool,
    max_pool_backward,
)

pytestmark = pytest.mark.skipif(not oracle.WIDE, reason="the oracle needs a wide longdouble")
NAN, INF = np.nan, np.inf
BACKWARD = {"max": max_pool_backward, "avg": avg_pool_backward, "lp": lp_pool_backward}
FORWARD = {"max": max_pool, "avg": avg_pool, "lp": lp_pool}
many = settings(
    max_examples=cases.examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def some(shape, dtype="float64", seed=0):
    return cases.contents("normal", np.dtype(dtype), shape, np.random.default_rng(seed))


@many
@given(cases.strategy("max", "backward"))
def test_max(case):
    fuzz.check(case)


@many
@given(cases.strategy("avg", "backward"))
def test_avg(case):
    fuzz.check(case)


@many
@given(cases.strategy("lp", "backward"))
def test_lp(case):
    fuzz.check(case)


# ---------------------------------------------------------------------------------------------
# By hand
# ---------------------------------------------------------------------------------------------

ONE = [1.0, 3.0, 2.0, 5.0, 4.0]

BY_HAND = [
    # op, grad_output, x, arguments, expected
    ("max", [10.0, 20.0], ONE, {"kernel_size": 2}, [0, 10, 0, 20, 0]),
    ("max", [1.0, 2.0, 4.0], ONE, {"kernel_size": 2, "ceil_mode": True}, [0, 1, 0, 2, 4]),
    ("max", [1.0, 2.0, 4.0], ONE, {"kernel_size": 3, "stride": 1}, [0, 1, 0, 6, 0]),
    # The first of equals, and NaN above all.
    ("max", [1.0, 2.0], [7.0, 7.0, 1.0, NAN], {"kernel_size": 2}, [1, 0, 0, 2]),
    # A window without data passes nothing, not even NaN.
    ("max", [NAN, 1.0, INF], [5.0], {"kernel_size": 1, "padding": 1, "stride": 1}, [1]),
    ("max", [NAN, INF], [1.0, 2.0, 4.0, 3.0], {"kernel_size": 2}, [0, NAN, INF, 0]),
    (
        "max",
        [[1.0, 2.0], [4.0, 8.0]],
        [[1.0, 2.0, 3.0], [4.0, 9.0, 6.0], [7.0, 8.0, 5.0]],
        {"kernel_size": 2, "stride": 1},
        [[0, 0, 0], [0, 15, 0], [0, 0, 0]],
    ),
    ("avg", [2.0, 4.0], ONE, {"kernel_size": 2}, [1, 1, 2, 2, 0]),
    ("avg", [2.0, 4.0, 6.0], ONE, {"kernel_size": 2, "ceil_mode": True}, [1, 1, 2, 2, 6]),
    ("avg", [3.0, 6.0], [1.0, 2.0], {"kernel_size": 3, "padding": 1, "stride": 1}, [3, 3]),
    (
        "avg",
        [3.0, 6.0],
        [1.0, 2.0],
        {"kernel_size": 3, "padding": 1, "stride": 1, "count_include_pad": False},
        [4.5, 4.5],
    ),
    ("avg", [3.0, 6.0], ONE, {"kernel_size": 2, "divisor_override": -3}, [-1, -1, -2, -2, 0]),
    ("avg", [NAN, 1.0, INF], [5.0], {"kernel_size": 1, "padding": 1, "stride": 1}, [1]),
    ("avg", [INF, -INF], ONE, {"kernel_size": 3, "stride": 2}, [INF, INF, NAN, -INF, -INF]),
    ("lp", [10.0, 20.0], [3.0, -4.0, 0.0, 0.0], {"kernel_size": 2}, [6, -8, 0, 0]),
    ("lp", [10.0, 20.0], [3.0, -4.0, 0.0, 2.0], {"kernel_size": 2, "p": 1}, [10, -10, 0, 20]),
    ("lp", [10.0, 20.0], [3.0, -4.0, 2.0, 2.0], {"kernel_size": 2, "p": INF}, [0, -10, 20, 0]),
    # y = (3 + 2) ** 2 = 25, and (25 / 9) ** 0.5, (25 / 4) ** 0.5.
    ("lp", [3.0], [9.0, -4.0], {"kernel_size": 2, "p": 0.5}, [5, -7.5]),
    ("lp", [5.0], [3e200, -4e200], {"kernel_size": 2}, [3, -4]),
    ("lp", [5.0], [3e-200, 4e-200], {"kernel_size": 2}, [3, 4]),
    ("lp", [NAN, 1.0, INF], [5.0], {"kernel_size": 1, "padding": 1, "stride": 1}, [1]),
]


@pytest.mark.parametrize(("op", "grad", "x", "arguments", "expected"), BY_HAND)
def test_by_hand(op, grad, x, arguments, expected):
    grad, x = np.array(grad), np.array(x)
    result = BACKWARD[op](grad, x, **arguments)
    np.testing.assert_allclose(result, expected, rtol=1e-15)
    fixed = getattr(numpool, f"{op}_pool{x.ndim}d_backward")
    np.testing.assert_array_equal(fixed(grad, x, **arguments), result)


def test_indices_are_used_as_given():
    x = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0])
    grad = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    # Windows of 2, one apart; every index of a window is good, whatever x holds there.
    for dtype in ("int8", "int16", "int32", "int64"):
        positions = np.array([0, 1, -1, 4, 4], dtype)
        result = max_pool_backward(grad, x, 2, 1, indices=positions)
        assert result.tolist() == [1, 2, 0, 0, 24, 0]
    for dtype in ("uint8", "uint16", "uint32", "uint64"):
        offsets = np.array([0, 0, np.iinfo(dtype).max, 1, 0], dtype)
        result = max_pool_backward(grad, x, 2, 1, indices=offsets)
        assert result.tolist() == [1, 2, 0, 0, 24, 0]
    assert max_pool_backward(grad, x, 2, 1, indices=[0, 1, -1, 4, 4]).tolist() == [
        1,
        2,
        0,
        0,
        24,
        0,
    ]


def test_y_is_used_as_given():
    x = np.array([3.0, -4.0, 6.0, 8.0, 1.0, 1.0])
    result = lp_pool_backward(np.ones(3), x, 2, y=np.array([1.0, 2.0, 0.0]))
    assert result.tolist() == [3, -4, 3, 4, 0, 0]


@pytest.mark.parametrize("op", BACKWARD)
@pytest.mark.parametrize("x_dtype", cases.FLOATS)
@pytest.mark.parametrize("grad_dtype", cases.FLOATS)
def test_the_result_has_the_dtype_of_x(op, x_dtype, grad_dtype):
    x, grad = some((3, 6, 7), x_dtype), some((3, 2, 3), grad_dtype, 1)
    result = BACKWARD[op](grad, x, (3, 2))
    assert result.dtype == x_dtype
    expected = getattr(oracle, f"{op}_pool_backward")(grad, x, (3, 2))
    oracle.assert_backward(result, expected, grad.dtype, 2.0 if op == "lp" else 0.0)


# ---------------------------------------------------------------------------------------------
# What a derivative is
# ---------------------------------------------------------------------------------------------

WINDOWS = [
    ((3, 12, 13), {"kernel_size": (2, 2)}),
    ((3, 12, 13), {"kernel_size": (3, 3), "stride": 2, "padding": 1}),
    ((3, 12, 13), {"kernel_size": (3, 5), "stride": 1, "padding": "same", "dilation": (2, 1)}),
    ((3, 12, 13), {"kernel_size": (4, 3), "stride": (3, 5), "ceil_mode": True, "axis": (2, 0)}),
    ((12, 13, 4), {"kernel_size": 5, "stride": 2, "padding": ((3, 0), (0, 4)), "axis": (0, 1)}),
    ((2, 6, 7, 8), {"kernel_size": (3, 2, 3), "stride": 1, "padding": (1, 0, 1)}),
    ((2, 6, 7, 8), {"kernel_size": (2, 2, 2)}),
    ((3, 300), {"kernel_size": (40,), "stride": 3, "padding": 7}),
    ((3, 300), {"kernel_size": (9,), "stride": 1, "dilation": 11}),
]


@pytest.mark.parametrize(("shape", "window"), WINDOWS)
@pytest.mark.parametrize(
    "options", [{}, {"count_include_pad": False}, {"divisor_override": -2.5}], ids=str
)
def test_average_is_adjoint(shape, window, options):
    x = some(shape)
    y = avg_pool(x, **window, **options)
    grad = some(y.shape, seed=1)
    back = avg_pool_backward(grad, x, **window, **options)
    # <g, A x> and <A' g, x> differ by the rounding of their own sums alone.
    scale = math.fsum(abs(grad * y).ravel())
    difference = math.fsum((grad * y).ravel()) - math.fsum((back * x).ravel())
    assert abs(difference) <= 1e-14 * scale


@pytest.mark.parametrize(("shape", "window"), WINDOWS)
@pytest.mark.parametrize("p", [None, 1.0, 1.5, 2.0, 3.0, 7.5, INF])
def test_finite_differences(shape, window, p):
    op, options = ("max", {}) if p is None else ("lp", {"p": p})
    # No two values of a window are equal or near 0, so that the step below changes no choice.
    rng = np.random.default_rng(7)
    n = math.prod(shape)
    x = (rng.permutation(n) + n // 4 + 1).reshape(shape) / n * rng.choice([-1.0, 1.0], shape)
    step = 1e-6 * rng.uniform(-1, 1, shape)
    grad = some(FORWARD[op](x, **window).shape, seed=1)
    ahead = FORWARD[op](x + step, **window, **options)
    behind = FORWARD[op](x - step, **window, **options)
    expected = (grad * (ahead - behind)).sum() / 2
    back = BACKWARD[op](grad, x, **window, **options)
    scale = (abs(grad) * abs(ahead - behind)).sum()
    assert abs((back * step).sum() - expected) <= 1e-7 * scale


@pytest.mark.parametrize(("shape", "window"), WINDOWS)
@pytest.mark.parametrize("dtype", cases.FLOATS)
def test_max_with_and_without_indices(shape, window, dtype):
    # Few values, so that there are ties; whole gradients, so that their sums are exact.
    rng = np.random.default_rng(2)
    x = cases.contents("ties", np.dtype(dtype), shape, rng)
    values, positions = max_pool(x, **window, return_indices=True)
    _, offsets = max_pool(x, **window, return_indices="offset")
    grad = cases.contents("ties", np.dtype(dtype), values.shape, rng)
    expected = max_pool_backward(grad, x, **window)
    np.testing.assert_array_equal(
        expected, oracle.max_pool_backward(grad, x, **window).value.astype(dtype)
    )
    for indices in (positions, offsets, positions.astype(">i4")):
        result = max_pool_backward(grad, x, **window, indices=indices)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("shape", "window"), WINDOWS)
@pytest.mark.parametrize("p", [0.5, 2.0, 3.5])
def test_lp_with_and_without_y(shape, window, p):
    x = some(shape)
    y = lp_pool(x, **window, p=p)
    grad = some(y.shape, seed=1)
    for known in (y, None):
        result = lp_pool_backward(grad, x, **window, p=p, y=known)
        expected = oracle.lp_pool_backward(grad, x, **window, p=p, y=known)
        oracle.assert_backward(result, expected, grad.dtype, p)


# ---------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", BACKWARD)
def test_the_result_lies_in_memory_as_x_does(op):
    backward = BACKWARD[op]
    x, grad = some((3, 4, 8, 10)), some((3, 4, 4, 5), seed=1)
    assert backward(grad, x, (2, 2)).flags.c_contiguous
    assert backward(grad, np.asfortranarray(x), (2, 2)).flags.f_contiguous
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    result = backward(grad, last, (2, 2))
    assert np.moveaxis(result, 1, -1).flags.c_contiguous
    assert backward(grad.tolist(), x.tolist(), (2, 2)).flags.c_contiguous


@pytest.mark.parametrize("op", BACKWARD)
def test_out_may_be_anything_the_call_reads(op):
    x, grad = some((5, 6, 7)), some((5, 6, 7), seed=1)
    arguments = {"kernel_size": (3, 3), "stride": 1, "padding": 1}

    def run(arrays, out):
        expected = getattr(oracle, f"{op}_pool_backward")(*arrays, **arguments)
        assert BACKWARD[op](*arrays, **arguments, out=out) is out
        oracle.assert_backward(out, expected, grad.dtype, 2.0 if op == "lp" else 0.0)

    run([grad, x], np.empty((7, 6, 5)).T)
    for which in (0, 1):
        arrays = [grad.copy(), x.copy()]
        run(arrays, arrays[which])
        arrays = [grad.copy(), x.copy()]
        out = arrays[which]
        arrays[which] = out[:, ::-1]
        run(arrays, out)


def test_out_may_be_y():
    x, grad = some((5, 6, 7)), some((5, 6, 7), seed=1)
    y = lp_pool(x, (3, 3), 1, 1)
    expected = lp_pool_backward(grad, x, (3, 3), 1, 1, y=y)
    np.testing.assert_array_equal(lp_pool_backward(grad, x, (3, 3), 1, 1, y=y, out=y), expected)


@pytest.mark.parametrize("op", BACKWARD)
def test_empty_batch_axes(op):
    grad, x = np.empty((3, 0, 2, 2)), np.empty((3, 0, 4, 4))
    assert BACKWARD[op](grad, x, (2, 2)).shape == x.shape
    out = np.empty((3, 0, 4, 4), np.float32)
    assert BACKWARD[op](grad, x.astype("f4"), (2, 2), out=out) is out


def test_the_largest_magnitude_of_empty_rows():
    assert lp_pool_backward(np.empty((2, 0)), np.empty((4, 0)), 2, axis=0, p=INF).shape == (4, 0)


@pytest.mark.parametrize("op", BACKWARD)
@pytest.mark.parametrize("bad", [NAN, INF, 1e300])
def test_a_gradient_reaches_its_own_window_alone(op, bad):
    x, grad = some((30, 31)), some((28, 30), seed=1)
    arguments = {"kernel_size": (3, 2), "stride": 1}
    clean = BACKWARD[op](grad, x, **arguments)
    grad[17, 11] = bad
    changed = BACKWARD[op](grad, x, **arguments) != clean
    assert changed[17:20, 11:13].any()
    changed[17:20, 11:13] = False
    assert not changed.any()


# ---------------------------------------------------------------------------------------------
# Larger inputs
# ---------------------------------------------------------------------------------------------

LARGER = [
    # shape, axis, kernel_size, stride, padding, dilation
    ((3, 70, 131), (1, 2), 2, 2, 0, 1),
    ((3, 70, 131), (1, 2), 3, 2, 1, 1),
    ((3, 61, 67), (1, 2), 3, 1, 1, 1),
    ((2, 61, 67), (1, 2), (5, 3), (3, 1), 2, 2),
    ((120, 130), (0, 1), 31, (7, 5), 15, 1),
    ((120, 130), (0, 1), (120, 130), 1, 0, 1),
    ((80, 81), (0, 1), (30, 1), 1, 3, 1),
    ((40, 7, 7), (1, 2), 7, 1, 0, 1),
    ((2, 40, 41, 24), (1, 2), 3, 2, 1, 1),
    ((3, 5000), 1, 64, 32, 0, 1),
    ((3, 4000), 1, 5, 1, 2, 3),
    ((2, 18, 20, 22), (1, 2, 3), 3, 2, 1, 1),
    # Phases of windows: long rows, repeated planes and rows, gaps, dilation that mixes them.
    ((2, 9, 10, 600), (1, 2, 3), 3, 2, 1, 1),
    ((2, 9, 23, 90), (1, 2, 3), (2, 3, 5), (2, 5, 3), 1, 1),
    ((2, 9, 23, 5), (1, 2), (4, 2), (2, 7), 1, 1),
    ((3, 41, 130), (1, 2), 3, 2, 1, 3),
    ((60, 70), (0, 1), (5, 4), (3, 4), 2, (2, 8)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", BACKWARD)
@pytest.mark.parametrize(("shape", "axis", "kernel_size", "stride", "padding", "dilation"), LARGER)
def test_larger(op, dtype, shape, axis, kernel_size, stride, padding, dilation):
    x = some(shape, dtype)
    window = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "axis": axis}
    window["dilation"] = dilation if max(np.ravel(kernel_size)) < 50 else 1
    grad = some(oracle.output_shape(shape, **window), dtype, 1)
    for options in ({"p": 2.0}, {"p": 1.5}) if op == "lp" else ({},):
        result = BACKWARD[op](grad, x, **window, **options)
        expected = getattr(oracle, f"{op}_pool_backward")(grad, x, **window, **options)
        oracle.assert_backward(result, expected, grad.dtype, options.get("p", 0.0))


@pytest.mark.parametrize("dtype", cases.FLOATS)
@pytest.mark.parametrize("stride", [4, 5, 7, 16, 24, 49, 160])
def test_values_are_spread_over_periods(stride, dtype):
    for kernel in (stride, stride - 2, stride + 3):
        for length, padding in ((20 * stride, 0), (13 * stride + 1, 1), (stride + 3, kernel // 2)):
            window = (kernel, stride, padding)
            x = np.zeros((2, length), dtype)
            grad = np.arange(1, 2 * oracle.output_shape(x.shape, *window, axis=1)[1] + 1)
            grad = grad.reshape(2, -1).astype(dtype)
            expected = np.zeros_like(x)
            for output in range(grad.shape[1]):
                start = output * stride - padding
                expected[:, max(start, 0) : start + kernel] += grad[:, output, None]
            result = avg_pool_backward(grad, x, *window, divisor_override=1, axis=1)
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("op", BACKWARD)
def test_bitwise_the_same_for_every_number_of_threads(op):
    numba = pytest.importorskip("numba")
    most = numba.config.NUMBA_NUM_THREADS
    for shape, size in (((6, 300, 301), (5, 5)), ((2, 100_000), (33,)), ((700, 710), (64, 3))):
        x = some(shape, "float32")
        grad = some(FORWARD[op](x, size, 2).shape, "float32", 1)
        results = []
        for threads in sorted({1, 2, math.ceil(most / 2), most} & set(range(1, most + 1))):
            before = numba.get_num_threads()
            numba.set_num_threads(threads)
            try:
                results.append(BACKWARD[op](grad, x, size, 2).tobytes())
            finally:
                numba.set_num_threads(before)
        assert len(set(results)) == 1
