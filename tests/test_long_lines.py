"""Windows along axes before a long one, whose lines do not fit the cache: taps are folded from
whole pieces of it. Data are small whole numbers, so that all sums are exact.
"""

import numpy as np
import pytest

import numpool

# shape, window axes, kernel_size, stride, padding
CASES = [
    ((9, 2100), 0, 4, 4, 0),
    ((9, 2100), 0, 4, 1, 2),
    ((2, 12, 3001), 1, 3, 2, 1),
    ((2, 12, 3001), 1, 12, 1, 0),
    ((40, 900), 0, 31, 1, 15),
    ((2, 5, 6, 5003), (1, 2), 2, 2, 0),
    ((2, 5, 6, 5003), (1, 2), (3, 2), 1, (1, 0)),
    ((7, 8, 2050), (0, 1), (5, 7), (2, 3), (0, 2)),
    ((3, 4, 5, 2100), (0, 1, 2), 2, 1, 0),
]
LAYOUTS = {
    "C": lambda x: x,
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "upside down": lambda x: x[::-1].copy()[::-1],
}


def numbers(shape, dtype):
    return np.random.default_rng(0).integers(0, 30, shape).astype(dtype)


def taps_of(x, axes, kernel, stride, padding, fill):
    """The windows of an array, their taps along the last axis."""
    axes = np.atleast_1d(axes)
    kernel, stride, padding = (np.broadcast_to(v, axes.size) for v in (kernel, stride, padding))
    around = [(0, 0)] * x.ndim
    steps = [slice(None)] * x.ndim
    for axis, s, p in zip(axes, stride, padding, strict=True):
        around[axis], steps[axis] = (p, p), slice(None, None, s)
    padded = np.pad(x.astype(np.float64), around, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, kernel, tuple(axes))
    return view[tuple(steps)].reshape(*view[tuple(steps)].shape[: x.ndim], -1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
@pytest.mark.parametrize(("shape", "axis", "kernel", "stride", "padding"), CASES)
def test_forward(shape, axis, kernel, stride, padding, dtype, layout):
    x = LAYOUTS[layout](numbers(shape, dtype))
    arguments = {"kernel_size": kernel, "stride": stride, "padding": padding, "axis": axis}
    taps = taps_of(x, axis, kernel, stride, padding, 0)
    result = numpool.max_pool(x, **arguments)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result, taps_of(x, axis, kernel, stride, padding, -1).max(-1))
    total = numpool.avg_pool(x, **arguments, divisor_override=1, dtype=np.float64)
    np.testing.assert_array_equal(total, taps.sum(-1))
    norm = numpool.lp_pool(x, **arguments, p=1)
    np.testing.assert_array_equal(norm, taps.sum(-1).astype(norm.dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(("shape", "axis", "kernel", "stride", "padding"), CASES)
def test_backward_of_average(shape, axis, kernel, stride, padding, dtype, layout):
    x = np.zeros(shape, dtype)
    arguments = {"kernel_size": kernel, "stride": stride, "padding": padding, "axis": axis}
    output = numpool.output_shape(shape, **arguments)
    gradient = LAYOUTS[layout](numbers(output, dtype))
    result = numpool.avg_pool_backward(gradient, x, **arguments, divisor_override=1)
    # Which outputs an input had a part in: windows of the places of the input.
    places = np.arange(x.size, dtype=np.float64).reshape(shape)
    taps = taps_of(places, axis, kernel, stride, padding, -1).astype(np.int64)
    expected = np.zeros(x.size + 1)
    np.add.at(expected, taps, gradient[..., None].astype(np.float64))
    np.testing.assert_array_equal(result, expected[:-1].reshape(shape).astype(dtype))
