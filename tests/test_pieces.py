"""Few windows over all there is: in pieces, which threads share; and long runs of neighbours."""

import math

import numba
import numpy as np
import pytest

import numpool
from numpool import _calls, _pieces

# Shape, pooled axes and memory order of single planes, rows of lengths that no pieces divide,
# volumes, batches, channels.
KINDS = {
    "a plane": ((301, 67), (0, 1), "C"),
    "a plane in Fortran order": ((67, 301), (0, 1), "F"),
    "a row": ((7919,), (0,), "C"),
    "a volume": ((11, 13, 61), (0, 1, 2), "C"),
    "three planes": ((3, 97, 83), (1, 2), "C"),
    "channels": ((89, 53, 5), (0, 1), "C"),
    "a batch around": ((2, 101, 3, 41), (1, 3), "C"),
    "fewer than tasks": ((7, 5), (0, 1), "C"),
}


@pytest.fixture
def small(monkeypatch):
    """Any array is large, and no plan is left from before."""
    monkeypatch.setattr(_pieces, "_LARGE_BYTES", 0)
    _calls._calls.clear()
    yield
    _calls._calls.clear()


def _array(shape, order, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return np.asarray(rng.standard_normal(shape), dtype, order=order)
    return np.asarray(rng.integers(0, 100, shape), dtype, order=order)


def _is_in_pieces(x, size, axis):
    numpool.max_pool(x, size, axis=axis)
    (call,) = _calls._calls.values()
    return call.plan.before is not None


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_values(kind, dtype, small):
    shape, axes, order = KINDS[kind]
    x = _array(shape, order, dtype)
    size = tuple(shape[a] for a in axes)
    assert _is_in_pieces(x, size, axes)
    expected = x.max(axis=axes, keepdims=True)
    np.testing.assert_array_equal(numpool.max_pool(x, size, axis=axes), expected)
    values, indices = numpool.max_pool(x, size, axis=axes, return_indices=True)
    np.testing.assert_array_equal(values, expected)
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    flat = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
    np.testing.assert_array_equal(indices.ravel(), flat.argmax(-1).ravel())
    if dtype == "bool":
        return
    exact = np.asarray(x, np.float64)
    mean = exact.mean(axis=axes, keepdims=True)
    bound = {"float16": 2e-3, "float32": 1e-5}.get(dtype, 1e-12)
    scale = np.abs(exact).mean()
    got = numpool.avg_pool(x, size, axis=axes)
    np.testing.assert_allclose(got, mean, rtol=0, atol=bound * scale)
    got = numpool.avg_pool(x, size, axis=axes, divisor_override=7)
    taps = math.prod(size)
    np.testing.assert_allclose(got, mean * taps / 7, rtol=0, atol=bound * scale * taps)
    got = numpool.lp_pool(x, size, axis=axes, p=math.inf)
    np.testing.assert_array_equal(got, np.abs(x).max(axis=axes, keepdims=True))
    got = numpool.lp_pool(x, size, axis=axes)
    norm = np.sqrt((exact**2).sum(axis=axes, keepdims=True))
    np.testing.assert_allclose(got, norm, rtol=max(bound, 1e-6))


@pytest.mark.parametrize("p", [1, 2, 3, 2.5, 5, math.inf])
@pytest.mark.parametrize("dtype", ["int16", "float16", "float32"])
def test_norms(dtype, p, small):
    """In pieces where powers cannot leave the range they are summed in."""
    for value in (1, np.finfo(dtype).max if dtype != "int16" else -(2**15), 0):
        x = _array((301, 67), "C", dtype)
        x[200, 3] = value
        _calls._calls.clear()
        got = numpool.lp_pool2d(x, x.shape, p=p)
        (call,) = _calls._calls.values()
        assert call.plan.before is not None
        exact = np.abs(np.asarray(x, np.float64))
        norm = exact.max()
        if p < math.inf:
            norm *= ((exact / norm) ** p).sum() ** (1 / p)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(got, np.asarray(norm, got.dtype), rtol=1e-3)


@pytest.mark.parametrize("dtype, p", [("float64", 2), ("float32", 20), ("float32", 0.001)])
def test_norms_that_may_look_back_take_one_pass(dtype, p, small):
    x = _array((301, 67), "C", dtype)
    numpool.lp_pool2d(x, x.shape, p=p)
    (call,) = _calls._calls.values()
    assert call.plan.before is None


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_nan_anywhere(place, small):
    x = _array((301, 67), "C", np.float32)
    x.flat[place] = np.nan
    for pool in (numpool.max_pool2d, numpool.avg_pool2d, numpool.lp_pool2d):
        assert np.isnan(pool(x, x.shape)).all()


def test_the_same_on_any_number_of_threads(small):
    x = _array((5, 301, 167), "C", np.float32)
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append([numpool.avg_pool2d(x, x.shape[1:]), numpool.avg_pool3d(x, x.shape)])
    for one, all_of_them in zip(*results, strict=True):
        np.testing.assert_array_equal(one, all_of_them)


def test_what_is_not_all_there_is_takes_one_pass(small):
    x = _array((301, 67), "C", np.float32)
    for arguments in (
        {"kernel_size": (300, 67)},
        {"kernel_size": (301, 67), "padding": (1, 0)},
        {"kernel_size": (150, 67), "dilation": (2, 1)},
    ):
        _calls._calls.clear()
        got = numpool.avg_pool2d(x, **arguments)
        (call,) = _calls._calls.values()
        assert call.plan.before is None
        assert got.shape[1] == 1
    assert not _is_in_pieces_of_many(x)


def _is_in_pieces_of_many(x):
    _calls._calls.clear()
    numpool.max_pool(np.stack([x] * 9), x.shape, axis=(1, 2))
    (call,) = _calls._calls.values()
    return call.plan.before is not None


@pytest.mark.parametrize("channels, in_pieces", [(3, True), (1500, True), (2000, False)])
def test_what_lies_between_stays_small(channels, in_pieces, small):
    """Blocks of channels are work for threads as they are."""
    x = _array((70, channels), "C", np.float32)
    np.testing.assert_array_equal(numpool.max_pool(x, 70, axis=0), x.max(axis=0, keepdims=True))
    (call,) = _calls._calls.values()
    assert (call.plan.before is not None) == in_pieces


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
@pytest.mark.parametrize(
    "kernel, stride",
    # Of runs, and of pieces with a few taps left, too.
    [(9000, 9000), (9000, 4700), (20011, 20011), (700, 800), (8200, 8300), (33, 40), (47, 30)],
)
def test_long_windows(kernel, stride, dtype):
    x = _array((3, 50_003), "C", dtype)
    starts = range(0, 50_003 - kernel + 1, stride)
    windows = np.stack([x[:, s : s + kernel] for s in starts], axis=1)
    arguments = {"kernel_size": kernel, "stride": stride, "axis": 1}
    np.testing.assert_array_equal(numpool.max_pool(x, **arguments), windows.max(-1))
    windows = np.asarray(windows, np.float64)
    bound = {"float16": 2e-3, "float32": 1e-5}.get(dtype, 1e-10)
    mean = windows.mean(-1)
    np.testing.assert_allclose(numpool.avg_pool(x, **arguments), mean, rtol=0, atol=bound)
    for p in (1, 2, 3, 2.5, math.inf):
        norm = np.linalg.norm(windows, p, axis=-1)
        np.testing.assert_allclose(numpool.lp_pool(x, p=p, **arguments), norm, rtol=bound)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_of_long_windows_out_of_range(dtype, p):
    """Powers are lost on the way, and norms are not."""
    limits = np.finfo(dtype)
    for value in (limits.smallest_subnormal, limits.tiny, limits.max / 4, math.inf, math.nan):
        x = np.zeros((2, 50_000), dtype)
        x[:, 37::5000] = value
        for kernel in (50, 5000):
            norms = numpool.lp_pool(x, kernel, p=p, axis=1)
            np.testing.assert_array_equal(
                norms, x[:, : 50_000 // kernel * kernel].reshape(2, -1, kernel).max(-1)
            )


def test_long_windows_of_columns_that_stand_apart():
    x = _array((3, 9000), "C", np.float32)
    for view in (x[:, ::2], x[:, ::-1], np.asfortranarray(x), x.astype(">f4")):
        rows = np.asarray(view, np.float64)
        norms = np.sqrt((rows[:, : rows.shape[1] // 90 * 90].reshape(3, -1, 90) ** 2).sum(-1))
        np.testing.assert_allclose(numpool.lp_pool(view, 90, axis=1), norms, rtol=1e-6)


def test_rows_of_windows_as_long_as_rows():
    """Windows of some whole rows are runs of neighbours."""
    x = _array((4, 60, 1031), "C", np.float32)
    got = numpool.max_pool2d(x, (7, 1031), stride=(9, 1), padding=(2, 0))
    padded = np.pad(x, ((0, 0), (2, 2), (0, 0)), constant_values=-np.inf)
    expected = [padded[:, s : s + 7].max(axis=(1, 2)) for s in range(0, 58, 9)]
    np.testing.assert_array_equal(got[:, :, 0], np.stack(expected, axis=1))
    mean = numpool.avg_pool2d(x, (7, 1031), stride=(9, 1), padding=(2, 0), count_include_pad=False)
    padded = np.pad(x.astype(np.float64), ((0, 0), (2, 2), (0, 0)), constant_values=np.nan)
    expected = [np.nanmean(padded[:, s : s + 7], axis=(1, 2)) for s in range(0, 58, 9)]
    np.testing.assert_allclose(mean[:, :, 0], np.stack(expected, axis=1), rtol=0, atol=1e-5)
