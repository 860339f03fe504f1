"""Windows that share most of their taps, on arrays large enough for all that is done for these."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from numpool import _calls, _rules, avg_pool, lp_pool, max_pool
from numpool._windows import windows_of

WINDOWS = [
    # shape, then kernel size, stride, padding and dilation of each window axis
    ((1500, 300), (40, 7), (1, 1), (20, 3), (1, 1)),
    ((1200, 400), (101, 3), (2, 1), (0, 1), (1, 1)),
    ((700, 900), (33, 64), (3, 2), (16, 0), (1, 1)),
    ((900, 700), (31, 1), (4, 1), (9, 0), (1, 1)),
    ((900, 700), (57, 2), (5, 2), (0, 1), (1, 1)),
    ((2000, 150), (300, 9), (17, 4), (100, 2), (1, 1)),
    ((800, 500), (23, 5), (1, 1), (30, 4), (3, 2)),
    ((800, 500), (12, 1), (2, 1), (5, 0), (20, 1)),
    ((2, 400, 500), (9, 9), (1, 1), (4, 4), (1, 1)),
    ((70, 40, 50), (31, 3, 2), (1, 1, 1), (15, 0, 1), (1, 1, 1)),
    ((3, 50, 60, 70), (12, 9, 10), (1, 1, 1), (0, 4, 5), (1, 1, 1)),
    ((2, 2, 60, 50, 64), (20, 5, 4), (2, 2, 1), (3, 1, 0), (2, 1, 1)),
    # Wide, in several strips: of groups of 4 and 8 outputs, of one sum and of many, some with a
    # rest; read as they lie in the source, but where they reach beyond it.
    ((400, 1200), (7, 7), (1, 1), (1, 3), (1, 1)),
    ((700, 900), (15, 1), (1, 1), (7, 0), (1, 1)),
    ((1100, 800), (31, 6), (1, 1), (15, 2), (1, 1)),
    ((1700, 700), (101, 5), (1, 1), (50, 2), (1, 1)),
    ((900, 800), (29, 3), (1, 2), (40, 1), (3, 1)),
    ((600, 1500), (10, 40), (2, 3), (0, 10), (1, 2)),
    ((40, 1100, 9), (6, 30, 1), (1, 1, 1), (3, 10, 0), (1, 1, 1)),
    # Of one input along depth, which is not the first.
    ((2, 60, 70), (2, 19, 19), (9, 1, 1), (1, 0, 0), (2, 1, 1)),
    # So large that a strip of all its rows would be too large for the cache.
    ((1000, 950), (501, 450), (1, 1), (200, 60), (1, 1)),
    ((5200, 70), (4001, 3), (1, 1), (500, 1), (1, 1)),
]
LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "channels last": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
}


def windowed(function, x, fill, kernel_size, stride, padding, dilation):
    """`function` over the windows along each of the last axes in turn."""
    for i in range(1, len(kernel_size) + 1):
        before_after = [(0, 0)] * x.ndim
        before_after[-i] = (padding[-i],) * 2
        padded = np.pad(x, before_after, constant_values=fill)
        windows = sliding_window_view(padded, (kernel_size[-i] - 1) * dilation[-i] + 1, axis=-i)
        steps = [slice(None)] * windows.ndim
        steps[-1 - i] = slice(None, None, stride[-i])
        steps[-1] = slice(None, None, dilation[-i])
        x = function(windows[tuple(steps)], axis=-1)
    return x


CASES = [
    (shape, window, layout)
    for number, (shape, *window) in enumerate(WINDOWS)
    for layout in ("C", sorted(LAYOUTS)[1:][number % 3])
]


@pytest.mark.parametrize(("shape", "window", "layout"), CASES)
def test_large_windows(shape, window, layout):
    arguments = dict(zip(("kernel_size", "stride", "padding", "dilation"), window, strict=True))
    rng = np.random.default_rng(3)
    # Sums of such integers are exact in float32, and each maximum is at one place only.
    small = LAYOUTS[layout](rng.integers(-4, 5, shape).astype(np.float32))
    sums = windowed(np.sum, small, 0, *window)
    np.testing.assert_array_equal(avg_pool(small, **arguments, divisor_override=1), sums)
    squares = windowed(np.sum, small**2, 0, *window)
    np.testing.assert_array_max_ulp(lp_pool(small, **arguments), np.sqrt(squares), 1)
    fifths = windowed(np.sum, np.abs(small.astype(np.float64)) ** 2.5, 0, *window) ** 0.4
    np.testing.assert_array_max_ulp(lp_pool(small, **arguments, p=2.5), fifths.astype("f4"), 1)
    x = LAYOUTS[layout](rng.permutation(small.size).reshape(shape).astype(np.float32))
    largest = windowed(np.max, x, -np.inf, *window)
    np.testing.assert_array_equal(max_pool(x, **arguments), largest)
    values, indices = max_pool(x, **arguments, return_indices=True)
    np.testing.assert_array_equal(values, largest)
    pairs = max_pool(x.astype(np.float64), **arguments, return_indices=True)
    np.testing.assert_array_equal(pairs[0], largest)
    np.testing.assert_array_equal(pairs[1], indices)
    batch = x.shape[: x.ndim - len(window[0])]
    taken = np.take_along_axis(x.reshape(*batch, -1), indices.reshape(*batch, -1), axis=-1)
    np.testing.assert_array_equal(taken.reshape(values.shape), values)


@pytest.mark.parametrize("taps", [101, 301, 501, 1001, 1401])
def test_strips_have_many_new_rows(taps):
    _calls._calls.clear()
    max_pool(np.zeros((3000, 1500), np.float32), taps, 1)
    (call,) = (c for c in _calls._calls.values() if c.arguments[1:3] == (taps, 1))
    assert call.plan.record["strip_rows"] >= taps // 5


def test_an_intermediate_is_as_large_as_a_volume():
    x = np.zeros((4, 48, 48, 48), np.float32)
    _calls._calls.clear()
    max_pool(x, (20, 3, 3), 1)
    (call,) = (c for c in _calls._calls.values() if c.arguments[1:3] == ((20, 3, 3), 1))
    assert call.plan.before.volumes == 4
    assert call.plan.before.size == 29 * 48 * 48


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "p", "computed"),
    [
        ((200, 200), 101, 1, 2, "float32"),
        ((200, 200), 100, 100, 2, "float64"),
        ((200, 200), 200, 1, 1, "float64"),
        ((40, 40, 40), 31, 1, 2, "float64"),
        ((40, 40, 40), 31, 1, np.inf, "float32"),
        ((40, 40, 40), 3, 1, 2, "float32"),
    ],
)
def test_norms_are_summed_in_float64_only_where_sums_are_shared(shape, kernel, stride, p, computed):
    windows = windows_of(shape, len(shape), kernel, stride, 0, 1, False, None)
    rule = _rules.FORWARD["lp"](np.dtype(np.float32), windows, p, None)
    assert rule.computed == computed
