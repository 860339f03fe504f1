"""Forward pooling: properties against the oracle, cases worked out by hand, and large inputs."""

import itertools
import math
from fractions import Fraction

import cases
import fuzz
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings

import numpool
from numpool import avg_pool, lp_pool, max_pool

pytestmark = pytest.mark.skipif(not oracle.WIDE, reason="the oracle needs a wide longdouble")
NAN, INF = np.nan, np.inf
POOLS = {"max": max_pool, "avg": avg_pool, "lp": lp_pool}
many = settings(
    max_examples=cases.examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def compare(op, x, *args, dtype=None, **kwargs):
    """Pool `x` and check it against the oracle; the result."""
    more = {} if dtype is None else {"dtype": dtype}
    result = POOLS[op](x, *args, **kwargs, **more)
    check(op, result, x, *args, **kwargs)
    return result


def check(op, result, x, *args, **kwargs):
    """Check `result`, pooled from `x`, against the oracle."""
    expected = getattr(oracle, f"{op}_pool")(x, *args, **kwargs)
    if op == "max":
        oracle.assert_same("max", result, expected[0])
    elif op == "avg":
        oracle.assert_avg(result, expected, x.dtype)
    else:
        oracle.assert_lp(result, expected, x.dtype, kwargs.get("p", 2.0))


# ---------------------------------------------------------------------------------------------
# Any configuration
# ---------------------------------------------------------------------------------------------


@many
@given(cases.strategy("max", "forward"))
def test_max(case):
    fuzz.check(case)


@many
@given(cases.strategy("max", "indices"))
def test_max_with_positions(case):
    fuzz.check(case)


@many
@given(cases.strategy("max", "offset"))
def test_max_with_offsets(case):
    fuzz.check(case)


@many
@given(cases.strategy("avg", "forward"))
def test_avg(case):
    fuzz.check(case)


@many
@given(cases.strategy("lp", "forward"))
def test_lp(case):
    fuzz.check(case)


def test_a_run_of_the_fuzzer():
    count = cases.examples(25) * 8
    ran, tables, failures = fuzz.fuzz(count, seed=3, first=0, step=1)
    assert failures == []
    assert ran == count
    assert len(tables["layout"]) == len(cases.LAYOUTS)


# ---------------------------------------------------------------------------------------------
# By hand
# ---------------------------------------------------------------------------------------------

ONE = [1.0, 3.0, 2.0, 5.0, 4.0]
SQUARE = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]

BY_HAND = [
    # op, x, arguments, expected
    ("max", ONE, {"kernel_size": 2}, [3, 5]),
    ("max", ONE, {"kernel_size": 2, "ceil_mode": True}, [3, 5, 4]),
    ("max", ONE, {"kernel_size": 3, "stride": 2, "padding": 1}, [3, 5, 5]),
    ("max", ONE, {"kernel_size": 2, "stride": 1, "dilation": 2}, [2, 5, 4]),
    ("max", ONE, {"kernel_size": 2, "stride": 1, "padding": ((0, 1),)}, [3, 3, 5, 5, 4]),
    ("max", ONE, {"kernel_size": 2, "stride": 1, "padding": "same"}, [3, 3, 5, 5, 4]),
    ("max", ONE, {"kernel_size": 2, "stride": 1, "padding": "same_lower"}, [1, 3, 3, 5, 5]),
    ("max", ONE, {"kernel_size": 2, "stride": 1, "padding": "valid"}, [3, 3, 5, 5]),
    ("max", ONE, {"kernel_size": 1, "stride": 3, "padding": 3}, [-INF, 1, 5, -INF]),
    # Two outputs fit; ceil_mode adds one, which would start past the input and goes again.
    ("max", ONE, {"kernel_size": 1, "stride": 4, "ceil_mode": True}, [1, 4]),
    ("max", ONE, {"kernel_size": 1, "stride": 5, "ceil_mode": True}, [1]),
    # One window that reaches past the end exists with ceil_mode alone.
    ("max", ONE, {"kernel_size": 6, "stride": 2, "ceil_mode": True}, [5]),
    ("max", [1.0, NAN, 2.0, 0.0, INF], {"kernel_size": 2, "stride": 1}, [NAN, NAN, 2, INF]),
    ("max", SQUARE, {"kernel_size": 2, "stride": 1}, [[5, 6], [8, 9]]),
    ("max", SQUARE, {"kernel_size": (1, 3)}, [[3], [6], [9]]),
    ("max", SQUARE, {"kernel_size": (1, 3), "axis": (1, 0)}, [[7, 8, 9]]),
    ("max", SQUARE, {"kernel_size": 2, "stride": 1, "axis": 0}, [[4, 5, 6], [7, 8, 9]]),
    ("avg", ONE, {"kernel_size": 2}, [2, 3.5]),
    # The taps past the padding that ceil_mode adds never count.
    ("avg", ONE, {"kernel_size": 2, "ceil_mode": True}, [2, 3.5, 4]),
    (
        "avg",
        [1.0, 2.0, 3.0, 4.0],
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        [1, 3, 2],
    ),
    (
        "avg",
        [1.0, 2.0, 3.0, 4.0],
        {
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "ceil_mode": True,
            "count_include_pad": False,
        },
        [1.5, 3, 4],
    ),
    ("avg", ONE, {"kernel_size": 2, "divisor_override": -4}, [-1, -1.75]),
    ("avg", ONE, {"kernel_size": 1, "stride": 3, "padding": 3}, [0, 1, 5, 0]),
    (
        "avg",
        ONE,
        {"kernel_size": 1, "stride": 3, "padding": 3, "count_include_pad": False},
        [0, 1, 5, 0],
    ),
    (
        "avg",
        ONE,
        {"kernel_size": 1, "stride": 3, "padding": 3, "divisor_override": 2},
        [0, 0.5, 2.5, 0],
    ),
    ("avg", [NAN, 1.0, INF, 2.0, -INF, INF], {"kernel_size": 2}, [NAN, INF, NAN]),
    ("avg", SQUARE, {"kernel_size": 2, "padding": 1, "stride": 2}, [[0.25, 1.25], [2.75, 7]]),
    ("lp", [3.0, -4.0, 0.0, 0.0], {"kernel_size": 2}, [5, 0]),
    ("lp", [3.0, -4.0, 0.0, 0.0], {"kernel_size": 2, "p": 1}, [7, 0]),
    ("lp", [3.0, -4.0, 0.0, 0.0], {"kernel_size": 2, "p": INF}, [4, 0]),
    ("lp", [9.0, -4.0, 0.0, 1.0], {"kernel_size": 2, "p": 0.5}, [25, 1]),
    ("lp", [3.0, -4.0], {"kernel_size": 1, "padding": 1, "stride": 1}, [0, 3, 4, 0]),
    ("lp", [3e200, -4e200, 3e-200, 4e-200], {"kernel_size": 2}, [5e200, 5e-200]),
    ("lp", [1e300, 1.0, NAN, 0.0, -INF, 1.0], {"kernel_size": 2, "p": 3}, [1e300, NAN, INF]),
]


@pytest.mark.parametrize(("op", "x", "arguments", "expected"), BY_HAND)
def test_by_hand(op, x, arguments, expected):
    result = POOLS[op](np.array(x), **arguments)
    np.testing.assert_allclose(result, expected, rtol=1e-15)
    fixed = getattr(numpool, f"{op}_pool{oracle_rank(x, arguments)}d")
    np.testing.assert_array_equal(fixed(np.array(x), **arguments), result)


@pytest.mark.parametrize("before", [(0, 0), (10**10 - 2, 0), (10**10 - 2, 10**9 - 2)])
def test_offsets_beyond_what_kernels_count(before):
    kernel = (10**10, 10**9)
    padding = [(b, k - 2 - b) for b, k in zip(before, kernel, strict=True)]
    x = np.array([[[1, 2], [4, 3]], [[0, 0], [0, 7]]], np.int16)
    out = np.zeros((2, 1, 1), np.int16), np.zeros((2, 1, 1), np.uint64)
    values, offsets = numpool.max_pool(x, kernel, padding=padding, return_indices="offset", out=out)
    assert values is out[0]
    assert offsets is out[1]
    assert values.ravel().tolist() == [4, 7]
    places = [(1, 0), (1, 1)]
    expected = [(h + before[0]) * 10**9 + w + before[1] for h, w in places]
    assert offsets.ravel().tolist() == expected
    again = numpool.max_pool(x, kernel, padding=padding, return_indices="offset")
    assert again[1].dtype == np.uint64
    assert again[1].ravel().tolist() == expected


def oracle_rank(x, arguments):
    axis = arguments.get("axis")
    return len(oracle.window_axes(np.ndim(x), arguments["kernel_size"], axis, None))


INDICES_BY_HAND = [
    # x, arguments, positions, offsets
    (ONE, {"kernel_size": 2}, [1, 3], [1, 1]),
    (ONE, {"kernel_size": 3, "stride": 2, "padding": 1}, [1, 3, 3], [2, 2, 0]),
    (ONE, {"kernel_size": 2, "stride": 1, "dilation": 2}, [2, 3, 4], [1, 1, 1]),
    (ONE, {"kernel_size": 1, "stride": 3, "padding": 3}, [-1, 0, 3, -1], [255, 0, 0, 255]),
    ([7.0, 7.0, NAN, NAN, -INF, -INF], {"kernel_size": 2}, [0, 2, 4], [0, 0, 0]),
    ([0.0, -0.0, -0.0, 0.0], {"kernel_size": 2}, [0, 2], [0, 0]),
    (SQUARE, {"kernel_size": 2, "stride": 1}, [[4, 5], [7, 8]], [[3, 3], [3, 3]]),
    # "First" and positions follow the order of the array's axes, whatever `axis` says.
    ([[1.0, 2.0], [2.0, 1.0]], {"kernel_size": 2, "axis": (1, 0)}, [[1]], [[1]]),
    ([[1.0, 2.0], [3.0, 2.0], [1.0, 0.0]], {"kernel_size": (2, 3), "axis": (1, 0)}, [[2]], [[2]]),
]


@pytest.mark.parametrize(("x", "arguments", "positions", "offsets"), INDICES_BY_HAND)
def test_indices_by_hand(x, arguments, positions, offsets):
    values, found = max_pool(np.array(x), **arguments, return_indices=True)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, positions)
    np.testing.assert_array_equal(values, max_pool(np.array(x), **arguments))
    _, found = max_pool(np.array(x), **arguments, return_indices="offset")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, offsets)


@pytest.mark.parametrize(
    ("taps", "dtype"),
    [
        *((1, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4"), (2**32 - 1, "u4")),
        *((2**32, "u8"), (10**18, "u8")),
    ],
)
def test_offsets_have_the_smallest_type_that_also_holds_a_marker(taps, dtype):
    kernel = (10**9, 10**9) if taps == 10**18 else (1, taps)
    x = np.array([[3.0, 1.0]])
    pads = [(0, kernel[0]), (kernel[1], 0)]
    _, offsets = max_pool(x, kernel, 10**10, pads, return_indices="offset")
    # Tap 0 of the first axis, and all but the first `kernel` positions of the second: no data.
    assert offsets.dtype == np.dtype(dtype)
    assert offsets.tolist() == [[np.iinfo(dtype).max]]
    pads = [(0, kernel[0]), (kernel[1] - 1, 0)]
    _, offsets = max_pool(x, kernel, 10**10, pads, return_indices="offset")
    assert offsets.tolist() == [[kernel[1] - 1]]


@pytest.mark.parametrize(
    ("dtype", "lowest"),
    [("bool", False), ("uint8", 0), ("int16", -(2**15)), ("int64", -(2**63)), ("float16", -INF)],
)
def test_a_window_without_data_gives_the_lowest_value(dtype, lowest):
    x = np.ones(1, dtype)
    assert max_pool(x, 1, 1, 1).tolist() == [lowest, 1, lowest]


@pytest.mark.parametrize("op", POOLS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("kernel", [(1, 1, 3), (1, 2, 3), (2, 2, 2), (1, 1, 1)])
@pytest.mark.parametrize("stride", [1, (1, 2, 3)])
def test_windows_of_padding_alone_take_nothing_beside_the_data(stride, kernel, dtype, op):
    for rows, columns in itertools.product((1, 5), (3, 40)):
        x = np.full((12, rows + 1, columns), 99, dtype)[4:8, :rows]
        x[...] = some(x.shape, dtype)
        for axis, pair in itertools.product((0, 1), ((0, 4), (4, 0), (4, 4))):
            padding = [(0, 1)] * 2 + [(0, 0)]
            padding[axis] = pair
            compare(op, x, kernel, stride, padding)


@pytest.mark.parametrize(
    ("x", "dtype", "expected"),
    [
        # Rounded half to even, saturated, and NaN gives 0.
        ([1.0, 2.0, 2.0, 3.0, -1.0, -2.0, 0.5, 0.5], "int32", [2, 2, -2, 0]),
        (np.array([1, 2, 2, 3, 4, 5], np.uint8), "uint8", [2, 2, 4]),
        ([300.0, 300.0, -5.0, -5.0, NAN, 1.0, INF, 1.0, -INF, 1.0], "uint8", [255, 0, 0, 255, 0]),
        ([1e30, 1e30, -1e30, -1e30], "int64", [2**63 - 1, -(2**63)]),
        (np.array([2**64 - 1] * 2, np.uint64), "uint64", [2**64 - 1]),
        (np.array([-(2**63)] * 2), "int64", [-(2**63)]),
        ([7e4, 7e4, 65519.0, 65519.0, 65520.0, 65520.0], "float16", [INF, 65504, INF]),
        (np.array([True, False, True, True]), None, [0.5, 1]),
        (np.array([True, False, True, True]), "float32", [0.5, 1]),
        (np.array([127, 127, -128, -128], np.int8), None, [127, -128]),
        (np.array([2**31 - 1, 2**31 - 1, 1, 2], np.int32), None, [2**31 - 1, 1.5]),
    ],
)
def test_average_dtypes_by_hand(x, dtype, expected):
    result = avg_pool(np.asarray(x), 2, axis=0, dtype=dtype)
    assert result.dtype == (dtype or np.float64)
    assert result.tolist() == np.array(expected, result.dtype).tolist()


@pytest.mark.parametrize("dtype", [*cases.FLOATS, "uint8", "int64", "bool"])
def test_the_average_of_a_constant_is_that_constant(dtype):
    x = np.full((7, 11), 1 if dtype == "bool" else 77, dtype)
    for size in range(1, 7):
        assert (avg_pool(x, size, 1) == x[0, 0]).all()
        assert (avg_pool(x, size, 1, size // 2, count_include_pad=False) == x[0, 0]).all()


@pytest.mark.parametrize("dtype", cases.FLOATS)
@pytest.mark.parametrize("step", [1, 2, -1])
@pytest.mark.parametrize(
    ("shape", "kernel_size"),
    [
        ((3, 9, 70), (3, 3)),
        ((3, 7, 7), (7, 7)),
        ((2, 20), (1, 3)),
        ((900,), (130,)),
        ((9, 9, 9), (2, 2, 2)),
    ],
)
def test_the_average_of_zeros_is_positive(shape, kernel_size, step, dtype):
    x = np.full((*shape[:-1], shape[-1] * abs(step)), -0.0, dtype)[..., ::step]
    for stride, padding, counted in itertools.product((1, 2), (0, 1, 3), (True, False)):
        result = avg_pool(x, kernel_size, stride, padding, count_include_pad=counted)
        assert not result.any() and not np.signbit(result).any()


# ---------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------


def some(shape, dtype="float32", seed=0):
    return cases.contents("normal", np.dtype(dtype), shape, np.random.default_rng(seed))


@pytest.mark.parametrize("op", POOLS)
def test_the_result_lies_in_memory_as_x_does(op):
    pool = POOLS[op]
    x = some((3, 4, 9, 10))
    assert pool(x, (2, 2)).flags.c_contiguous
    assert pool(np.asfortranarray(x), (2, 2)).flags.f_contiguous
    last = pool(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1), (2, 2))
    assert np.moveaxis(last, 1, -1).flags.c_contiguous
    assert pool(x.transpose(2, 0, 3, 1), (2, 2)).transpose(1, 3, 0, 2).flags.c_contiguous
    assert pool(x[:, ::2, ::-1], (2, 2)).flags.c_contiguous
    assert pool(x.tolist(), (2, 2)).flags.c_contiguous


@pytest.mark.parametrize("indices", [True, "offset"])
def test_indices_lie_in_memory_as_x_does(indices):
    values, found = max_pool(np.asfortranarray(some((5, 6, 7))), (2, 2), return_indices=indices)
    assert values.flags.f_contiguous
    assert found.flags.f_contiguous


@pytest.mark.parametrize("op", POOLS)
def test_out_is_returned_and_may_be_x_itself(op):
    x = some((5, 6, 7), "float64")

    def run(x, out):
        before = x.copy()
        assert POOLS[op](x, (3, 3), 1, 1, out=out) is out
        check(op, out, before, (3, 3), 1, 1)

    run(x, np.empty((6, 5, 7)).transpose(1, 0, 2))
    # In place, half of x over the other half, and turned around.
    same = x.copy()
    run(same, same)
    long = np.concatenate([x, x])
    run(long[:5], long[3:8])
    same = x.copy()
    run(same[::-1], same)


@pytest.mark.parametrize("indices", [True, "offset"])
def test_out_is_a_pair_with_indices(indices):
    x = some((4, 9), "float64")
    values, found = max_pool(x, (1, 3), return_indices=indices)
    out = (np.empty((3, 4)).T, np.empty((4, 3), found.dtype))
    result = max_pool(x, (1, 3), return_indices=indices, out=out)
    assert isinstance(result, tuple)
    assert result[0] is out[0]
    assert result[1] is out[1]
    np.testing.assert_array_equal(out[0], values)
    np.testing.assert_array_equal(out[1], found)


@pytest.mark.parametrize("op", POOLS)
@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4, 4), (0, 2, 4, 4)])
def test_empty_batch_axes(op, shape):
    result = POOLS[op](np.empty(shape), (2, 2), 1)
    assert result.shape == (*shape[:-2], 3, 3)
    out = np.empty(result.shape)
    assert POOLS[op](np.empty(shape), (2, 2), 1, out=out) is out
    assert POOLS[op](np.empty(shape[::-1]), 2, axis=(0, 1)).shape == (2, 2, *shape[-3::-1])


@pytest.mark.parametrize("outside", [NAN, INF, -INF, 1e30])
@pytest.mark.parametrize("op", POOLS)
def test_values_outside_a_window_never_matter(op, outside):
    x = some((3, 40, 41))
    # Windows of 3 x 4, 7 apart: most of the array belongs to none.
    arguments = {"kernel_size": (3, 4), "stride": 7, "padding": ((1, 0), (2, 0))}
    covered = np.zeros((40, 41), bool)
    for i, j in itertools.product(range(0, 41, 7), range(0, 41, 7)):
        covered[max(i - 1, 0) : i + 2, max(j - 2, 0) : j + 2] = True
    dirty = np.where(covered, x, np.float32(outside))
    np.testing.assert_array_equal(POOLS[op](dirty, **arguments), POOLS[op](x, **arguments))
    # One bad value spoils the windows that hold it, and no others.
    for size in (2, 5, 9, 30):
        dirty = x.copy()
        dirty[1, 17, 23] = outside
        changed = POOLS[op](dirty, (size, size), 1) != POOLS[op](x, (size, size), 1)
        near = np.zeros_like(changed)
        near[1, max(0, 18 - size) : 18, max(0, 24 - size) : 24] = True
        assert not changed[~near].any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "float16"])
def test_every_layout_gives_the_same_maximum(dtype):
    kind = "nan" if dtype.startswith("f") else "ties"
    x = cases.contents(kind, np.dtype(dtype), (4, 9, 10, 3), np.random.default_rng(3))
    for indices in (True, "offset"):
        arguments = {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "axis": (1, 2)}
        expected = max_pool(x, **arguments, return_indices=indices)
        for order in itertools.permutations(range(4)):
            for steps in ((1, 1, 1, 1), (2, 1, -1, 3)):
                layout = cases.Layout("mixed", order, steps, 1)
                placed = cases.place(x, layout, None)
                for got, want in zip(
                    max_pool(placed.given, **arguments, return_indices=indices),
                    expected,
                    strict=True,
                ):
                    np.testing.assert_array_equal(got, want)


def test_memory_mapped_files(tmp_path):
    x = some((2, 50, 60))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (2, 25, 30))
    for op, pool in POOLS.items():
        result = compare(op, mapped, (2, 2))
        assert type(result) is np.ndarray
        assert pool(mapped, (2, 2), out=out) is out
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), pool(x, (2, 2)))


# ---------------------------------------------------------------------------------------------
# Forms of arguments
# ---------------------------------------------------------------------------------------------


class Index:
    """An int in all but name."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


def test_integers_of_every_kind():
    x = some((3, 12, 13))
    expected = max_pool(x, (3, 2), (2, 3), (1, 0), (1, 2))
    for one in (np.int64, np.uint8, np.int16, Index):
        kernel, stride, dilation = (one(3), one(2)), (one(2), one(3)), (one(1), one(2))
        for padding in ((one(1), one(0)), [(one(1), one(1)), (one(0), one(0))]):
            result = max_pool(x, kernel, stride, padding, dilation)
            np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(max_pool(x, one(3), axis=one(1)), max_pool(x, 3, axis=1))
    arrays = (np.array([3, 2]), np.array([2, 3]), np.array([[1, 1], [0, 0]]), np.array([1, 2]))
    np.testing.assert_array_equal(max_pool(x, *arrays, axis=np.array([1, 2])), expected)
    np.testing.assert_array_equal(max_pool(x, *arrays, axis=[-2, np.int8(2)]), expected)


@pytest.mark.parametrize("p", [3, np.int32(3), np.float16(3), Fraction(3), np.float64(3)])
def test_p_is_any_real_number(p):
    x = some((4, 9))
    np.testing.assert_array_equal(lp_pool(x, 3, p=p), lp_pool(x, 3, p=3.0))


@pytest.mark.parametrize("divisor", [4, np.int8(4), np.float32(4), Fraction(4), np.uint64(4)])
def test_divisor_is_any_real_number(divisor):
    x = some((4, 9))
    expected = avg_pool(x, 3, divisor_override=4.0)
    np.testing.assert_array_equal(avg_pool(x, 3, divisor_override=divisor), expected)


def test_dtype_is_anything_numpy_takes():
    x = some((4, 9))
    for dtype in (np.float16, "float16", np.dtype("e"), "f2", "e"):
        assert avg_pool(x, 3, dtype=dtype).dtype == np.float16
        assert lp_pool(x, 3, dtype=dtype).dtype == np.float16
    assert avg_pool(x, 3, dtype=int).dtype == int
    assert avg_pool(x, 3, dtype=float).dtype == np.float64


def test_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    x = some((2, 8, 8))
    result = max_pool(torch.from_numpy(x), (2, 2))
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, max_pool(x, (2, 2)))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("op", POOLS)
def test_fixed_rank_functions_are_the_generic_one(op, rank):
    fixed = getattr(numpool, f"{op}_pool{rank}d")
    x = some((2, 6, 7, 8))
    expected = POOLS[op](x, (3,) * rank, 2, 1)
    np.testing.assert_array_equal(fixed(x, 3, 2, 1), expected)
    axes = (2, 0, 3)[:rank]
    expected = POOLS[op](x, 2, (1, 2, 3)[:rank], axis=axes)
    np.testing.assert_array_equal(fixed(x, 2, (1, 2, 3)[:rank], axis=axes), expected)
    # Without axis and tuple, the rank-generic function pools every axis.
    x = some((5, 6, 7)[:rank])
    np.testing.assert_array_equal(fixed(x, 2), POOLS[op](x, 2))


def test_output_shape():
    shape = numpool.output_shape
    assert shape((3, 224, 224), (7, 7), 2, 3) == (3, 112, 112)
    assert shape((3, 224, 224), (2, 3), axis=(2, 0)) == (1, 224, 112)
    assert shape((5, 6), 3, 2, "same", ceil_mode=True) == (3, 3)
    assert shape([np.int64(9), 6], 2, dilation=(3, 1), axis=(0, 1)) == (3, 3)
    assert all(type(n) is int for n in shape((np.int64(9), 6), 2))


@many
@given(cases.strategy("avg", "forward"))
def test_output_shape_is_the_shape_of_the_result(case):
    geometry = case.geometry
    if geometry.pop("rank") is not None and "axis" not in geometry:
        rank = case.rank
        geometry["axis"] = tuple(range(-rank, 0))
    if case.possible:
        expected = oracle.output_shape(case.shape, **geometry)
        assert numpool.output_shape(case.shape, **geometry) == expected
    else:
        with pytest.raises(ValueError, match="empty"):
            numpool.output_shape(case.shape, **geometry)


@pytest.mark.parametrize("op", POOLS)
def test_cost_does_not_grow_with_kernel_and_padding(op):
    x = some((2, 20, 20), "float64")
    n = 10**9
    compare(op, x, (n, n), (n, n), [(n, 0), (0, n)])
    compare(op, x, (3, n), (n, 1), [(n, n), (n - 3, 0)], (1, 1))
    compare(op, x, (2, 2), (n, n), [(n, n), (n, n)], (n, n))
    compare(op, x, (1, 3), (2**62, 2**63 - 1), [(0, 0), (2, 2)], (2**63 - 1, 1), ceil_mode=True)


# ---------------------------------------------------------------------------------------------
# Larger inputs: every mode of the engine, and threads
# ---------------------------------------------------------------------------------------------

LARGER = [
    # shape, axis, kernel_size, stride, padding
    ((3, 70, 131), (1, 2), 2, 2, 0),
    ((3, 70, 131), (1, 2), 3, 2, 1),
    ((3, 61, 67), (1, 2), 3, 1, 1),
    ((2, 61, 67), (1, 2), 5, 3, (2, 0)),
    ((2, 64, 90), (1, 2), 7, 1, 3),
    ((2, 64, 90), (1, 2), (12, 9), (2, 1), 4),
    ((90, 95), (0, 1), 31, 1, 15),
    ((150, 160), (0, 1), 101, (3, 1), 50),
    ((150, 160), (0, 1), (150, 160), 1, 0),
    ((40, 14, 14), (1, 2), 3, 1, 1),
    ((40, 7, 7), (1, 2), 7, 1, 0),
    ((2, 40, 41, 24), (1, 2), 3, 2, 1),
    ((2, 40, 41, 3), (1, 2), 2, 2, 0),
    ((700, 33), 0, 9, 1, 4),
    ((3, 5000), 1, 64, 32, 0),
    ((2, 9000), 1, 1024, 512, 100),
    ((3, 4000), 1, 5, 1, 2),
    ((2, 18, 20, 22), (1, 2, 3), 3, 1, 1),
    ((2, 18, 20, 22), (1, 2, 3), (7, 2, 6), (1, 2, 1), (3, 1, 2)),
    ((18, 20, 22, 2), (0, 1, 2), 2, 2, 0),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("op", POOLS)
@pytest.mark.parametrize(("shape", "axis", "kernel_size", "stride", "padding"), LARGER)
def test_larger(op, dtype, shape, axis, kernel_size, stride, padding):
    x = cases.contents("normal", np.dtype(dtype), shape, np.random.default_rng(5))
    compare(op, x, kernel_size, stride, padding, axis=axis)
    if 2 * np.max(kernel_size) <= min(shape[a] for a in np.ravel(axis)):
        compare(op, x, kernel_size, stride, padding, 2, axis=axis, ceil_mode=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64", "float16"])
@pytest.mark.parametrize(("shape", "axis", "kernel_size", "stride", "padding"), LARGER[::3])
def test_larger_indices(dtype, shape, axis, kernel_size, stride, padding):
    # Few values, so that nearly every window has a tie to break.
    x = cases.contents("ties", np.dtype(dtype), shape, np.random.default_rng(5))
    arguments = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "axis": axis}
    values, positions, offsets = oracle.max_pool(x, **arguments)
    for indices, expected in ((True, positions), ("offset", offsets)):
        got = max_pool(x, **arguments, return_indices=indices)
        oracle.assert_same("values", got[0], values)
        oracle.assert_same("indices", got[1], expected)


@pytest.mark.parametrize("op", [*POOLS, "indices"])
def test_bitwise_the_same_for_every_number_of_threads(op):
    numba = pytest.importorskip("numba")

    def pool(x, *args):
        if op == "indices":
            return max_pool(x, *args, return_indices=True)
        return (POOLS[op](x, *args),)

    most = numba.config.NUMBA_NUM_THREADS
    for shape, size in (((6, 300, 301), (5, 5)), ((2, 100_000), (33,)), ((700, 710), (64, 3))):
        x = some(shape)
        results = []
        for threads in sorted({1, 2, math.ceil(most / 2), most} & set(range(1, most + 1))):
            before = numba.get_num_threads()
            numba.set_num_threads(threads)
            try:
                results.append(pool(x, size, 1))
            finally:
                numba.set_num_threads(before)
        for result in results[1:]:
            for got, want in zip(result, results[0], strict=True):
                assert got.tobytes() == want.tobytes()
