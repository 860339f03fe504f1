"""Results on a GPU, or in the simulator, against the oracle and the CPU."""

import math

import cases
import fuzz
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings

import numpool
from numpool import _calls
from numpool._cuda import library, passes, plan, steps, strips

pytestmark = [
    pytest.mark.skipif(not oracle.WIDE, reason="the oracle needs a wide longdouble"),
    # In the simulator NumPy does the arithmetic, and warns.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
some = settings(
    max_examples=cases.examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
WAYS = [
    (op, direction)
    for op in ("max", "avg", "lp")
    for direction in ("forward", "indices", "offset", "backward")
    if op == "max" or direction in ("forward", "backward")
]


def forget():
    """Let calls be planned anew."""
    for cached in (steps._step, passes.split):
        cached.cache_clear()
    _calls._calls.clear()


@pytest.fixture
def in_passes(monkeypatch):
    """Windows of four taps and more are taken as large ones are: axis by axis, and along an axis
    as windows of windows.
    """
    forget()
    monkeypatch.setattr(passes, "MOST_TAPS", 3)
    monkeypatch.setattr(passes, "_cost", lambda threads, taps: taps**2 + 0.0 * threads)
    yield
    forget()


@pytest.fixture(params=["small", "wide", "many rows", "in passes"])
def size(request, monkeypatch):
    """Calls as they are, and as large ones are done: counted in 64 bits, with many rows to a
    thread, in passes.
    """
    forget()
    if request.param == "wide":
        monkeypatch.setattr(plan, "_NARROW", 0)
    elif request.param == "many rows":
        monkeypatch.setattr(plan, "_THREADS", 4)
    elif request.param == "in passes":
        request.getfixturevalue("in_passes")
    yield
    forget()


class Carried:
    """The arguments of a call, with its arrays on a GPU."""

    def __init__(self, kind, call):
        inputs = [p for p in (call.x, call.grad, call.helper) if p is not None]
        self.of = {}
        # Arrays in the same memory lie in the same on the GPU, where it has the layouts of both.
        shared = {}
        for placed in (*inputs, *(call.out or ())):
            given = placed.given if isinstance(placed.given, np.ndarray) else placed.values
            shared.setdefault(id(placed if placed.base is None else placed.base), []).append(
                (id(placed.given), given)
            )
        for placed in shared.values():
            names, arrays = zip(*placed, strict=True)
            if all(a.flags.aligned and a.dtype.isnative and kind.carries(a) for a in arrays):
                carried = kind.upload_all(arrays)
            else:
                carried = [kind.put(a if a.flags.aligned else a.copy("K")) for a in arrays]
            self.of.update(zip(names, carried, strict=True))
        self.positional = [self.of.get(id(a), a) for a in call.positional]
        self.keywords = {k: self.of.get(id(v), v) for k, v in call.keywords.items()}
        self.out = None
        if call.out is not None:
            self.out = tuple(self.of[id(o.given)] for o in call.out)
            self.keywords["out"] = self.out if len(self.out) > 1 else self.out[0]


def check(case, kind):
    """Run a configuration, and hold its results against the oracle's."""
    if not case.possible:
        return
    call = cases.build(case)
    expected = fuzz.reference(case, call)
    carried = Carried(kind, call)
    result = getattr(numpool, call.function)(*carried.positional, **carried.keywords)
    results = result if case.direction in ("indices", "offset") else (result,)
    if carried.out is not None:
        assert all(a is b for a, b in zip(results, carried.out, strict=True))
    fuzz.assert_right(case, tuple(kind.get(r) for r in results), expected)


@pytest.mark.parametrize(("op", "direction"), WAYS)
def test_oracle(kind, size, op, direction):
    @some
    @given(cases.strategy(op, direction))
    def configurations(case):
        check(case, kind)

    configurations()


LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "channels last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "negative": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}
GEOMETRY = {"kernel_size": 3, "stride": 2, "padding": 1}


def values(dtype, shape, content="special"):
    return cases.contents(content, np.dtype(dtype), shape, np.random.default_rng(1))


def same(a, b):
    """Bit by bit but for the sign of zeros and the payload of NaNs."""
    oracle.assert_same("result", a, b)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_max_is_that_of_the_cpu(kind, dtype, rank, layout):
    x = LAYOUTS[layout](values(dtype, (2, 3, 6, 5, 4)[: rank + 2]))
    for indices in (True, "offset"):
        call = {**GEOMETRY, "axis": tuple(range(2, x.ndim)), "return_indices": indices}
        expected = numpool.max_pool(x, **call)
        for got, of_cpu in zip(numpool.max_pool(kind.put(x), **call), expected, strict=True):
            same(kind.get(got), of_cpu)
    del call["return_indices"]
    same(kind.get(numpool.max_pool(kind.put(x), **call)), expected[0])


@pytest.mark.parametrize("result", ["float16", "float32", "float64", *cases.INTEGERS])
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_average_of_every_dtype_to_every_dtype(kind, dtype, result):
    # Exact sums, so that there is one right result.
    x = values(dtype, (2, 7, 6), "ties")
    call = {**GEOMETRY, "axis": (1, 2), "dtype": result}
    same(kind.get(numpool.avg_pool(kind.put(x), **call)), numpool.avg_pool(x, **call))


@pytest.mark.parametrize("sizes", strips.SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("op", ["max", "avg"])
def test_windows_that_the_compiler_knows(kind, size, op, dtype, sizes):
    function = getattr(numpool, f"{op}_pool")
    # Whole strips, such as meet the edge, three channels, and such as fill whole vectors.
    for shape, axes, padding in (
        ((2, 13, 7), (1, 2), 0),
        ((2, 13, 7), (1, 2), 1),
        ((9, 7, 3), (0, 1), 0),
        ((9, 7, 16), (0, 1), 0),
    ):
        x = values(dtype, shape, "ties")
        call = {"kernel_size": sizes[0], "stride": sizes[1], "padding": padding, "axis": axes}
        same(kind.get(function(kind.put(x), **call)), function(x, **call))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("op", ["max", "avg"])
def test_pairs_side_by_side(kind, taken, op, dtype):
    function = getattr(numpool, f"{op}_pool")
    more = ({"count_include_pad": False}, {"divisor_override": 3}) if op == "avg" else ()
    # What is left of a row, rows that meet the edge, batches above and depths between.
    for shape, call in (
        ((2, 5, 33), {"kernel_size": 2, "axis": (1, 2)}),
        ((5, 32), {"kernel_size": 2, "padding": [(1, 0), (0, 0)], "ceil_mode": True}),
        ((2, 4, 2, 16), {"kernel_size": 2, "axis": (1, 3)}),
        ((3, 32), {"kernel_size": 2, "axis": 1}),
        *(((3, 32), {"kernel_size": 2, "padding": [(1, 1), (0, 0)], **one}) for one in more),
    ):
        wide = values(dtype, (*shape[:-1], 48), "ties")
        x = kind.upload_all([wide, wide[..., : shape[-1]]])[1]
        same(kind.get(function(x, **call)), function(wide[..., : shape[-1]], **call))
        assert taken.pop() == f"{op}_forward_lines"
        x = kind.upload_all([wide, wide[..., 1 : shape[-1] + 1]])[1]
        same(kind.get(function(x, **call)), function(wide[..., 1 : shape[-1] + 1], **call))
        assert "lines" not in taken.pop()


THREE = {"kernel_size": 3, "stride": 2, "axis": (1, 2)}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("length", [16, 48])
@pytest.mark.parametrize(
    ("op", "call", "lines"),
    [
        *((op, {"stride": s, "padding": 1}, True) for op in ("max", "avg") for s in (1, 2)),
        ("max", {"ceil_mode": True}, True),
        ("max", {"padding": [(2, 0), (1, 1)]}, True),
        ("max", {"padding": [(1, 1), (2, 0)]}, False),
        ("max", {"stride": (1, 2), "padding": 1}, False),
        ("avg", {"ceil_mode": True, "divisor_override": 3}, True),
        # Outputs count as many taps as hold data.
        ("avg", {"padding": 1, "count_include_pad": False}, False),
        ("avg", {"padding": [(1, 1), (1, 0)], "count_include_pad": True}, True),
        ("avg", {"ceil_mode": True}, False),
    ],
)
def test_lines_that_windows_share(kind, taken, op, call, lines, length, dtype):
    """Windows that reach over both ends of a line, over one, and over none."""
    function, call = getattr(numpool, f"{op}_pool"), {**THREE, **call}
    # What follows a line in memory is no part of it.
    wide = values(dtype, (2, 9, length + 16), "special" if op == "max" else "ties")
    x = kind.upload_all([wide, wide[..., :length]])[1]
    same(kind.get(function(x, **call)), function(wide[..., :length], **call))
    assert taken[-1].endswith("lines") is lines


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        ({}, False),
        ({"stride": 1, "padding": [(1, 1), (1, 0)]}, False),
        ({"padding": [(1, 1), (1, 0)]}, True),
    ],
)
def test_lines_with_data_behind_their_vectors(kind, taken, call, lines):
    wide = values("float32", (2, 9, 32), "special")
    x = kind.upload_all([wide, wide[..., :17]])[1]
    call = {**THREE, **call}
    same(kind.get(numpool.max_pool(x, **call)), numpool.max_pool(wide[..., :17], **call))
    assert taken[-1].endswith("lines") is lines


SHARED = (
    ((3, 7, 7), {"kernel_size": 7, "axis": (1, 2)}),
    ((3, 70), {"kernel_size": 65, "padding": 2, "stride": 9, "axis": 1}),
    ((2, 90), {"kernel_size": 40, "stride": 33, "padding": 5, "axis": 1}),
)


@pytest.fixture
def taken(monkeypatch):
    """The families of kernels that are made."""
    found = []
    kernel = library.kernel
    monkeypatch.setattr(library, "kernel", lambda *name: found.append(name[0]) or kernel(*name))
    forget()
    return found


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("op", ["max", "avg"])
def test_windows_that_warps_share(kind, taken, op, dtype):
    function = getattr(numpool, f"{op}_pool")
    for shape, call in SHARED:
        x = values(dtype, shape, "ties")
        same(kind.get(function(kind.put(x), **call)), function(x, **call))
    warps = op == "max" or dtype != "uint8"
    assert taken == [f"{op}_forward{'_warps' * warps}"] * 3


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("indices", [True, "offset"])
def test_indices_that_warps_share(kind, taken, indices, dtype):
    for shape, call in SHARED:
        call = {**call, "return_indices": indices}
        x = values(dtype, shape)
        results = zip(
            numpool.max_pool(kind.put(x), **call), numpool.max_pool(x, **call), strict=True
        )
        for got, of_cpu in results:
            same(kind.get(got), of_cpu)
    assert set(taken) == {"max_forward_indices_warps"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_norms_that_warps_share(kind, taken, p, dtype):
    for shape, call in SHARED:
        x = values(dtype, shape, "scales")
        got = kind.get(numpool.lp_pool(kind.put(x), p=p, **call))
        expected = numpool.lp_pool(x, p=p, **call)
        np.testing.assert_allclose(got, expected, rtol=40 * np.finfo(dtype).eps)
    assert set(taken) == {"lp_forward_warps"}


def test_warps_lose_nothing_of_float64(kind, taken):
    x = np.zeros((1, 256))
    x[0, 16] = 1.0
    x[0, 16 + 32 * np.arange(4, 8)] = 2.0**-55  # half a unit of 1 together, and no more
    x[0, 17] = 2.0**-60
    result = numpool.avg_pool(kind.put(x), 256, axis=1, divisor_override=1)
    assert kind.get(result).tolist() == [[1 + 2.0**-52]]
    assert taken == ["avg_forward_warps"]


@pytest.mark.parametrize("indices", [True, "offset"])
@pytest.mark.parametrize(
    ("shape", "call"),
    [
        # Taps that hold data in no window, and parts of windows that hold none.
        ((2, 6), {"kernel_size": 13, "padding": [(10, 0)], "stride": 1, "axis": 1}),
        ((9,), {"kernel_size": 8, "padding": 5, "stride": 1}),
        ((5, 9), {"kernel_size": 4, "padding": (3, 5), "stride": (1, 2)}),
        ((4, 3, 5), {"kernel_size": (2, 1, 2)}),
    ],
)
@pytest.mark.usefixtures("in_passes")
def test_indices_in_passes_of_what_is_no_more_than_padding(kind, taken, shape, call, indices):
    for x in (np.full(shape, -np.inf, np.float32), np.zeros(shape, np.uint8)):
        got = numpool.max_pool(kind.put(x), **call, return_indices=indices)
        same(kind.get(got[1]), numpool.max_pool(x, **call, return_indices=indices)[1])
    assert "max_forward_indices_further" in taken


def test_powers_of_elements_in_many_windows_come_first(kind, taken):
    x, call = values("float32", (2, 7, 8), "normal"), {"kernel_size": 3, "stride": 1, "p": 3}
    result = kind.get(numpool.lp_pool2d(kind.put(x), **call))
    np.testing.assert_allclose(result, numpool.lp_pool2d(x, **call), rtol=1e-6)
    sums = "avg_forward_strips"
    assert taken == ["lp_forward_powers", sums, "lp_forward_root", "avg_forward"]
    taken.clear()
    numpool.lp_pool2d(kind.put(x), **{**call, "stride": 2})
    assert taken == ["lp_forward"]


@pytest.mark.usefixtures("in_passes")
def test_long_windows_go_in_passes(kind, taken):
    x, call = values("float32", (2, 40), "ties"), {"kernel_size": 13, "stride": 2, "axis": 1}
    expected = numpool.max_pool(x, **call, return_indices=True)
    got = numpool.max_pool(kind.put(x), **call, return_indices=True)
    same(kind.get(got[1]), expected[1])
    assert taken == ["max_forward_indices", "max_forward_indices_further"]
    taken.clear()
    same(kind.get(numpool.avg_pool(kind.put(x), **call)), numpool.avg_pool(x, **call))
    assert taken == ["avg_forward", "avg_forward", "avg_forward_further"]
    taken.clear()
    numpool.lp_pool(kind.put(x), p=3, **call)
    powers = ["lp_forward_powers", "lp_forward_powers", "avg_forward_further"]
    assert taken == [*powers, "lp_forward_root", "avg_forward"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("contents", ["ties", "special", "padding"])
@pytest.mark.parametrize(
    ("shape", "call"),
    [
        ((2, 12, 11), {"kernel_size": 9, "padding": 4, "axis": (1, 2)}),
        ((13, 12, 2), {"kernel_size": (9, 8), "dilation": (1, 2), "padding": 4, "axis": (0, 1)}),
        ((11, 13), {"kernel_size": (8, 10), "padding": [(7, 9), (12, 4)], "axis": (0, 1)}),
        ((6, 7, 5), {"kernel_size": (4, 5, 4), "padding": (2, 1, 3), "axis": (0, 1, 2)}),
    ],
)
def test_maxima_send_gradients_axis_by_axis(kind, taken, shape, call, contents, dtype):
    """To the first of equal values, and of NaN; from windows without data to none."""
    call = {"stride": 1, **call}
    x = values(dtype, shape, contents) if contents != "padding" else np.full(shape, -np.inf, dtype)
    y, indices = numpool.max_pool(x, **call, return_indices=True)
    # Sums of these are exact in any order.
    grad = np.random.default_rng(0).integers(-8, 9, y.shape).astype(dtype)
    expected = numpool.max_pool_backward(grad, x, **call, indices=indices)
    assert expected.any()
    same(kind.get(numpool.max_pool_backward(kind.put(grad), kind.put(x), **call)), expected)
    assert taken.count("max_backward") == len(call["axis"])


@pytest.mark.parametrize(
    ("shape", "axes", "size", "expected"),
    [
        ((2, 9, 9), (1, 2), 3, "max_forward_strips"),
        ((2, 9, 9), (1, 2), 4, "max_forward"),
        ((9, 9, 16), (0, 1), 2, "max_forward_vectors_strips"),
        ((9, 9, 16), (0, 1), 4, "max_forward_vectors"),
        ((9, 9, 15), (0, 1), 4, "max_forward"),
        ((3, 7, 7), (1, 2), 7, "max_forward_warps"),
    ],
)
def test_kernels_that_fit_are_taken(kind, taken, shape, axes, size, expected):
    numpool.max_pool(kind.put(values("float32", shape)), size, 1, axis=axes)
    assert taken == [expected]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_long_sums_stay_within_their_bounds(kind, taken, dtype):
    """Windows so long that they go in passes as they are; sums of one sign round the most."""
    n, starts = 997, (0, 500, 1000)
    x = np.random.default_rng(3).uniform(0.5, 1, (1, 2000)).astype(dtype)
    windows = [x[0, start : start + n].astype(np.float64) for start in starts]
    there, eps = kind.put(x), np.finfo(dtype).eps
    working = eps if dtype != "float16" else np.finfo(np.float32).eps
    result = kind.get(numpool.avg_pool(there, n, 500, axis=1, dtype=dtype))
    expected = [math.fsum(window) / n for window in windows]
    steps_of_sum = math.ceil(math.log2(n))
    np.testing.assert_allclose(result[0], expected, (steps_of_sum + 2) * working + eps)
    assert "avg_forward_further" in taken
    taken.clear()
    result = kind.get(numpool.lp_pool(there, n, 500, p=2.5, axis=1))
    expected = [math.fsum(window**2.5) ** (1 / 2.5) for window in windows]
    np.testing.assert_allclose(result[0], expected, working * (6 + (steps_of_sum + 8) / 2.5) + eps)
    assert "lp_forward_root" in taken


@pytest.mark.parametrize("op", ["max", "avg", "lp"])
def test_runs_are_the_same(kind, op):
    x, grad = values("float32", (2, 9, 9), "normal"), values("float32", (2, 5, 5), "normal")
    backward = getattr(numpool, f"{op}_pool2d_backward")
    first, second = (kind.get(backward(kind.put(grad), kind.put(x), **GEOMETRY)) for _ in "12")
    assert first.tobytes() == second.tobytes()


def test_nothing_wrong_is_passed_by_wrong_indices(kind):
    grad, x = np.array([1.0, 2.0, 4.0, 8.0]), np.zeros(8)
    for indices, expected in (
        (np.array([-1, 7, 5, -9]), [0, 0, 0, 0, 0, 4, 0, 0]),
        (np.array([0, 1, 2, 255], np.uint8), [1, 0, 0, 2, 0, 0, 0, 0]),
    ):
        result = numpool.max_pool_backward(
            kind.put(grad), kind.put(x), 2, indices=kind.put(indices)
        )
        assert kind.get(result).tolist() == expected


@pytest.mark.parametrize("op", ["max", "avg", "lp"])
def test_empty(kind, op):
    x = kind.put(np.zeros((0, 4, 4), np.float32))
    result = getattr(numpool, f"{op}_pool2d")(x, 2)
    assert result.shape == (0, 2, 2)
    grad = kind.put(np.zeros((0, 2, 2), np.float32))
    assert getattr(numpool, f"{op}_pool2d_backward")(grad, x, 2).shape == (0, 4, 4)


@pytest.mark.parametrize("function", ["max_pool", "avg_pool", "lp_pool"])
def test_arrays_in_main_memory_are_refused_beside_others(kind, function):
    x, y = np.ones((4, 4), np.float32), np.ones((2, 2), np.float32)
    with pytest.raises(TypeError, match=r"^out must"):
        getattr(numpool, function)(kind.put(x), 2, out=y)
    backward = getattr(numpool, f"{function}_backward")
    with pytest.raises(TypeError, match=r"^grad_output must lie on the GPU"):
        backward(y, kind.put(x), 2)
    with pytest.raises(TypeError, match=r"^(grad_output|x)"):
        backward(kind.put(y), x, 2)


def test_arguments_are_checked_as_on_the_cpu(kind):
    x = kind.put(np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match="the output would be empty"):
        numpool.max_pool(x, 5)
    with pytest.raises(TypeError, match="return_indices must be"):
        numpool.max_pool(x, 2, return_indices=1)
    with pytest.raises(ValueError, match="p must be greater than 0"):
        numpool.lp_pool(x, 2, p=0)
    with pytest.raises(ValueError, match=r"grad_output must have the forward result's shape"):
        numpool.avg_pool_backward(x, x, 2)
    with pytest.raises(TypeError, match=r"out must be a pair"):
        numpool.max_pool(x, 2, return_indices=True, out=x)
