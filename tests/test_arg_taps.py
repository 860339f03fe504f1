"""The arg-max over many channels, which is taken tap by tap: each channel comes out as it does
alone.
"""

import numpy as np
import pytest

import numpool
from numpool import _calls
from numpool._cpu import library

# Windows that share little, over the axes (1, 2) of arrays that have channels last, or over (0,).
WINDOWS = [
    ((2, 9, 8, 32), (1, 2), {"kernel_size": 2}),
    ((3, 11, 10, 33), (1, 2), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((1, 7, 9, 100), (1, 2), {"kernel_size": (3, 5), "stride": (1, 3), "ceil_mode": True}),
    ((2, 6, 6, 16), (1, 2), {"kernel_size": 6}),
    ((2, 9, 9, 17), (1, 2), {"kernel_size": 2, "stride": 1, "dilation": (3, 2)}),
    ((1, 5, 6, 31), (1, 2), {"kernel_size": 2, "stride": 6, "padding": 9}),
    ((2, 4, 5, 6, 64), (1, 2, 3), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ((120, 40), (0,), {"kernel_size": 7, "stride": 4}),
]
DTYPES = ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float32", "float64"]


def values(shape, dtype):
    """Few different values, so that many taps are equal; NaN and both zeros among them."""
    rng = np.random.default_rng(5)
    if np.dtype(dtype).kind == "f":
        some = np.array([-np.inf, -2.0, -0.0, 0.0, 1.5, np.inf, np.nan], dtype)
        return rng.choice(some, shape, p=[0.2, 0.2, 0.2, 0.2, 0.1, 0.05, 0.05])
    if dtype == "bool":
        return rng.random(shape) < 0.2
    limits = np.iinfo(dtype)
    return rng.choice(
        np.array([limits.min, 0, 1, limits.max], dtype), shape, p=[0.5, 0.2, 0.2, 0.1]
    )


@pytest.mark.parametrize("indices", [True, "offset"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis", "arguments"), WINDOWS)
def test_each_channel_as_alone(shape, axis, arguments, dtype, indices, monkeypatch):
    kernels = []
    address = library.address
    monkeypatch.setattr(library, "address", lambda *key: kernels.append(key[0]) or address(*key))
    x = values(shape, dtype)
    x.flags.writeable = False
    _calls._calls.clear()
    found = numpool.max_pool(x, axis=axis, return_indices=indices, **arguments)
    assert "argmax_by_taps" in kernels
    for channel in range(shape[-1]):
        kernels.clear()
        one = np.ascontiguousarray(x[..., channel])
        expected = numpool.max_pool(one, axis=axis, return_indices=indices, **arguments)
        assert "argmax_by_taps" not in kernels
        for all_channels, single in zip(found, expected, strict=True):
            assert all_channels.dtype == single.dtype
            np.testing.assert_array_equal(all_channels[..., channel], single)


@pytest.mark.parametrize("channels", [20, 300])
@pytest.mark.parametrize("indices", [True, "offset"])
def test_taps_come_in_the_order_of_the_axes(indices, channels):
    """Whatever their order in memory: of equal taps the first in C order is the arg-max."""
    x = values((channels, 6, 7), "int8")
    transposed = np.ascontiguousarray(x.T).T
    arguments = {"kernel_size": (2, 3), "stride": 2, "axis": (1, 2), "return_indices": indices}
    for found, expected in zip(
        numpool.max_pool(transposed, **arguments), numpool.max_pool(x, **arguments), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_float16_goes_another_way():
    x = values((2, 9, 8, 32), "float32").astype("float16")
    wide = numpool.max_pool(x.astype("float32"), 2, axis=(1, 2), return_indices=True)
    for found, expected in zip(
        numpool.max_pool(x, 2, axis=(1, 2), return_indices=True), wide, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


# Long windows of neighbours: whole planes, side by side, overlapping by half, clipped by padding.
RUNS = [
    ((5, 8, 9), (1, 2), {"kernel_size": (8, 9)}),
    ((3, 200), (1,), {"kernel_size": 32}),
    ((2, 3, 500), (2,), {"kernel_size": 100, "stride": 50, "padding": 90}),
    ((4, 333), (1,), {"kernel_size": 65, "stride": 200, "ceil_mode": True, "padding": [(3, 40)]}),
    ((2, 70), (1,), {"kernel_size": 40, "stride": 35, "padding": 1000}),
]


@pytest.mark.parametrize("indices", [True, "offset"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis", "arguments"), RUNS)
def test_long_windows_as_those_of_another_layout(
    shape, axis, arguments, dtype, indices, monkeypatch
):
    kernels = []
    address = library.address
    monkeypatch.setattr(library, "address", lambda *key: kernels.append(key[0]) or address(*key))
    x = values(shape, dtype)
    if x.dtype.kind == "f":
        x[np.isnan(x) & (np.random.default_rng(1).random(shape) < 0.9)] = 1
    apart = np.repeat(x, 2, axis=-1)[..., ::2]
    _calls._calls.clear()
    found = numpool.max_pool(x, axis=axis, return_indices=indices, **arguments)
    assert "argmax_by_runs" in kernels
    kernels.clear()
    expected = numpool.max_pool(apart, axis=axis, return_indices=indices, **arguments)
    assert "argmax_by_runs" not in kernels
    for run, other in zip(found, expected, strict=True):
        assert run.dtype == other.dtype
        np.testing.assert_array_equal(run, other)
