"""The backward pass of averages where windows start one after the other: sums of gradients are
taken in registers, as those of values are, and divided there.
"""

import itertools

import numpy as np
import pytest

import numpool

# Shape of x, arguments.
WINDOWS = [
    ((3, 400), {"kernel_size": 3, "padding": 1, "axis": 1}),
    ((1, 20011), {"kernel_size": 5, "axis": 1}),
    ((3, 400), {"kernel_size": 2, "padding": ((0, 1),), "axis": 1}),
    ((20, 301), {"kernel_size": 3, "padding": 1}),
    ((20, 301), {"kernel_size": (4, 5), "padding": (1, 2)}),
    ((20, 301), {"kernel_size": 3, "padding": 2, "dilation": 2}),
    ((20, 301), {"kernel_size": (5, 2), "dilation": (3, 1)}),
    ((6, 7, 300), {"kernel_size": 3, "padding": 1}),
    ((300, 14, 14), {"kernel_size": 3, "padding": 1, "axis": (1, 2)}),
    ((70, 28, 30), {"kernel_size": 3, "axis": (1, 2)}),
    ((2, 9, 11, 100), {"kernel_size": 3, "padding": 1, "axis": (1, 2)}),
    (
        (2, 9, 11, 64),
        {"kernel_size": (2, 3), "padding": (0, 1), "dilation": (1, 2), "axis": (1, 2)},
    ),
]
WINDOWS = [(shape, {**window, "stride": 1}) for shape, window in WINDOWS]


def taps(x, kernel_size, stride, axis=(-2, -1), padding=0, dilation=1):
    """Views of x, in padding, that each tap of all windows names."""
    axes = [a % x.ndim for a in np.atleast_1d(axis)]
    sizes, steps = (np.broadcast_to(n, len(axes)) for n in (kernel_size, dilation))
    pads = np.array(padding)
    pads = pads if pads.ndim == 2 else np.broadcast_to(pads.reshape(-1, 1), (len(axes), 2))
    wide = np.zeros(
        [n + pads[axes.index(a)].sum() if a in axes else n for a, n in enumerate(x.shape)]
    )
    inner, windows = [slice(None)] * x.ndim, [0] * x.ndim
    for axis, size, step, (before, _) in zip(axes, sizes, steps, pads, strict=True):
        inner[axis] = slice(before, before + x.shape[axis])
        windows[axis] = wide.shape[axis] - (size - 1) * step
    views = []
    for tap in itertools.product(*map(range, sizes)):
        places = [slice(None)] * x.ndim
        for axis, number, step in zip(axes, tap, steps, strict=True):
            places[axis] = slice(number * step, number * step + windows[axis])
        views.append(wide[tuple(places)])
    return views, wide[tuple(inner)]


def adjoint(gradient, x, divisor, window):
    """Each gradient, divided, to all taps of its window."""
    axis = window.get("axis", tuple(range(x.ndim)))
    views, result = taps(x, **{**window, "axis": axis})
    for view in views:
        view += gradient / divisor
    return result


def layouts(gradient):
    """The same gradients: as they are, mirrored, apart, and in the other byte order."""
    yield gradient
    yield gradient[..., ::-1].copy()[..., ::-1]
    yield np.repeat(gradient, 2, axis=-1)[..., ::2]
    yield gradient.astype(gradient.dtype.newbyteorder())


@pytest.mark.parametrize(("shape", "window"), WINDOWS)
def test_gradients_reach_all_taps(shape, window, walks):
    rng = np.random.default_rng(0)
    count = len(taps(np.zeros(shape), **{"axis": tuple(range(len(shape))), **window})[0])
    padded = "padding" in window
    divisors = [(count, {}), (-2.5, {"divisor_override": -2.5})]
    divisors += [] if padded else [(count, {"count_include_pad": False})]
    for dtypes in ("ff", "dd", "ee", "ef", "fe", "df"):
        x = np.zeros(shape, dtypes[1])
        for divisor, options in divisors:
            # Quotients are integers.
            gradient = rng.integers(-4, 5, numpool.output_shape(shape, **window)) * divisor
            gradient = gradient.astype(dtypes[0])
            expected = adjoint(gradient.astype(float), x, divisor, window)
            for given in layouts(gradient) if dtypes == "ff" else [gradient]:
                walks.clear()
                result = numpool.avg_pool_backward(given, x, **window, **options)
                assert result.dtype == x.dtype
                np.testing.assert_array_equal(result, expected)
                if given is gradient and dtypes != "df":
                    assert walks[0] == "walk_short_windows", dtypes


@pytest.mark.parametrize("shape", [(20, 300), (300, 14, 14), (9, 11, 100)])
def test_sums_that_are_not_finite(shape, walks):
    """Of gradients whose quotients may be: these are divided first."""
    axis = (0, 1) if shape[-1] == 100 else (-2, -1)
    x = np.zeros(shape, np.float32)
    gradient = np.full(shape, 3e38, np.float32)
    result = numpool.avg_pool_backward(gradient, x, 3, 1, 1, axis=axis)
    assert "walk_short_windows" in walks
    largest = {k: n for k, n in zip(*np.unique(result, return_counts=True), strict=True)}
    np.testing.assert_allclose(
        sorted(largest), np.array([4, 6, 9]) / 9 * np.float32(3e38), rtol=1e-6
    )
    window = {"kernel_size": 3, "stride": 1, "padding": 1, "axis": axis}
    for special in (np.nan, np.inf):
        gradient = np.ones(shape, np.float32)
        gradient[5, 6] = gradient.reshape(-1)[-1] = special
        expected = adjoint(gradient, x, 9, window)
        for given in layouts(gradient):
            result = numpool.avg_pool_backward(given, x, **window)
            np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize(("shape", "window"), WINDOWS)
@pytest.mark.parametrize("special", [1, 3e38, np.nan])
def test_results_that_stand_apart(shape, window, special):
    gradient = np.ones(numpool.output_shape(shape, **window), np.float32)
    gradient.reshape(-1)[[0, -1]] = special
    x, wide = np.zeros(shape, np.float32), np.full((*shape[:-1], 2 * shape[-1]), 7, np.float32)
    for given in layouts(gradient):
        expected = adjoint(gradient, x, 2.5, window)
        for out in (wide[..., ::2], wide[..., -2::-2]):
            numpool.avg_pool_backward(given, x, **window, divisor_override=2.5, out=out)
            np.testing.assert_allclose(out, expected, rtol=1e-6)
            assert (wide[..., 1::2] == 7).all()


def test_windows_of_several_divisors_are_divided_first(walks):
    x, gradient = np.zeros((20, 300), np.float32), np.ones((20, 300), np.float32)
    result = numpool.avg_pool_backward(gradient, x, 3, 1, 1, count_include_pad=False)
    assert "walk_short_windows" not in walks
    rows, columns = (np.where(np.isin(np.arange(n), (0, n - 1)), 2, 3) for n in x.shape)
    window = {"kernel_size": 3, "stride": 1, "padding": 1}
    expected = adjoint(gradient, x, np.outer(rows, columns), window)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
