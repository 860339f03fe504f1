"""Columns that stand apart or backwards, which are taken as vectors, and the other byte order: the
results are those of a contiguous copy in native order.
"""

import ctypes

import numpy as np
import pytest

import numpool
from numpool import _calls
from numpool._cpu import library

STEPS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
# All steps of elements of each size, and some of other types: kernels of both take long to compile.
STEPS_OF = {
    **dict.fromkeys(("uint8", "int16", "float32", "float64"), STEPS),
    **dict.fromkeys(("bool", "float16", "int32", "uint64"), (-3, -2, 2)),
}


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("step", STEPS)
def test_elements_are_taken_and_nothing_else_is_written(step, itemsize):
    take = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(library.address("take", itemsize))
    rng = np.random.default_rng(0)
    for count in (1, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 127, 130, 300):
        row = rng.integers(0, 250, (count - 1) * abs(step) + 1).astype(f"u{itemsize}")[::step]
        target = np.full(count + 70, 251, row.dtype)
        take(row.ctypes.data, step * itemsize, count, target.ctypes.data)
        np.testing.assert_array_equal(target[:count], row)
        assert (target[count:] == 251).all()


@pytest.mark.parametrize(
    ("dtype", "step"), [(dtype, step) for dtype, steps in STEPS_OF.items() for step in steps]
)
def test_as_a_contiguous_copy(step, dtype, monkeypatch):
    families = []
    address = library.address
    monkeypatch.setattr(library, "address", lambda *key: families.append(key[0]) or address(*key))
    _calls._calls.clear()
    rng = np.random.default_rng(1)
    bytes_of = rng.integers(0, 60, (3, 20, 700 * abs(step)), np.uint8)
    if dtype == "bool":
        wide = (bytes_of * (bytes_of > 50)).view(np.bool_)  # any byte but 0 is True
    else:
        wide = bytes_of.astype(dtype)
    x = wide[..., ::step]
    copy = np.ascontiguousarray(x)
    for kernel, stride in ((2, 2), (3, 1), (5, 3)):
        arguments = {"kernel_size": kernel, "stride": stride, "axis": (1, 2)}
        results = [
            lambda a, k=arguments: numpool.max_pool(a, **k),
            lambda a, k=arguments: numpool.max_pool(a, **k, return_indices=True)[1],
            lambda a, k=arguments: numpool.max_pool(a, **k, return_indices="offset")[1],
        ]
        if dtype in ("uint8", "float16", "float32"):
            results += [
                lambda a, k=arguments: numpool.avg_pool(a, **k),
                lambda a, k=arguments: numpool.lp_pool(a, **k, p=1),
                lambda a, k=arguments: numpool.lp_pool(a, **k, p=2),
            ]
        for pool in results:
            np.testing.assert_array_equal(pool(x), pool(copy))
    assert ("take" in families) == (2 <= abs(step) <= 4 or step == -1)


@pytest.mark.parametrize("step", [*range(-5, 0), *range(1, 6)])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_swapped_elements_are_taken_and_nothing_else_is_written(step, itemsize):
    take = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(library.address("take_swapped", itemsize))
    swapped = np.dtype(f"u{itemsize}").newbyteorder()
    rng = np.random.default_rng(0)
    for count in (1, 7, 16, 33, 300):
        row = rng.integers(0, 60000, (count - 1) * abs(step) + 1).astype(swapped)[::step]
        target = np.full(count + 70, 251, row.dtype.newbyteorder())
        take(row.ctypes.data, step * itemsize, count, target.ctypes.data)
        np.testing.assert_array_equal(target[:count], row)
        assert (target[count:] == 251).all()


# Long rows, many channels, small planes, and columns along which windows slide.
SWAPPED = {
    "rows": ((3, 40, 300), (1, 2), 1),
    "every second column": ((3, 40, 300), (1, 2), 2),
    "backwards": ((3, 40, 300), (1, 2), -1),
    "channels last": ((2, 20, 30, 40), (1, 2), 1),
    "channels, every second": ((2, 20, 30, 40), (1, 2), 2),
    "small planes": ((100, 9, 11), (1, 2), 1),
    "volumes": ((2, 24, 24, 24), (1, 2, 3), 1),
    "a signal": ((2, 5000), (1,), 1),
}


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        *((dtype, layout) for dtype in ("int16", "float32") for layout in SWAPPED),
        *((d, at) for d in ("float16", "uint64", "float64") for at in ("rows", "channels last")),
    ],
)
def test_either_byte_order(layout, dtype):
    shape, axes, step = SWAPPED[layout]
    rng = np.random.default_rng(2)
    wide = rng.integers(0, 250, (*shape[:-1], shape[-1] * abs(step)))
    x = wide.astype(np.dtype(dtype).newbyteorder())[..., ::step]
    copy = np.ascontiguousarray(x).astype(dtype)
    for kernel, stride, padding in ((2, 2, 0), (3, 1, 1), (5, 3, 2), (17, 1, 0), (1, 1, 0)):
        if kernel > min(shape[a] for a in axes):
            continue
        windows = {"kernel_size": kernel, "stride": stride, "padding": padding, "axis": axes}
        for indices in (False, True, "offset"):
            got = numpool.max_pool(x, **windows, return_indices=indices)
            expected = numpool.max_pool(copy, **windows, return_indices=indices)
            np.testing.assert_array_equal(got, expected)
        for pool in (numpool.avg_pool, numpool.lp_pool):
            got = pool(x, **windows)
            assert got.dtype.isnative
            np.testing.assert_allclose(got, pool(copy, **windows), rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_of_swapped_elements_whose_powers_leave_the_range(dtype):
    limits = np.finfo(dtype)
    copy = np.full((4, 100), limits.max / 4, dtype)
    copy[1], copy[2] = limits.tiny, limits.smallest_subnormal
    x = copy.astype(np.dtype(dtype).newbyteorder())
    for p in (2, 3):
        expected = numpool.lp_pool1d(copy, 3, p=p)
        assert np.isfinite(expected).all() and (expected > 0).all()
        np.testing.assert_array_equal(numpool.lp_pool1d(x, 3, p=p), expected)


def test_a_backward_pass_gives_a_native_gradient():
    x = np.random.default_rng(3).standard_normal((2, 12, 40)).astype(np.float32)
    swapped = x.astype(x.dtype.newbyteorder())
    values, indices = numpool.max_pool1d(x, 3, return_indices=True)
    passes = [
        lambda a: numpool.avg_pool1d_backward(values, a, 3),
        lambda a: numpool.max_pool1d_backward(values, a, 3),
        lambda a: numpool.max_pool1d_backward(values, a, 3, indices=indices),
        lambda a: numpool.lp_pool1d_backward(values, a, 3),
        lambda a: numpool.lp_pool1d_backward(values, a, 3, p=np.inf),
    ]
    for backward in passes:
        got = backward(swapped)
        assert got.dtype == x.dtype and got.dtype.isnative
        np.testing.assert_allclose(got, backward(x), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", SWAPPED)
def test_gradients_in_either_byte_order(layout, dtype):
    shape, axes, step = SWAPPED[layout]
    x = np.zeros(shape, dtype)
    rng = np.random.default_rng(4)
    for kernel, stride, padding in ((2, 2, 0), (3, 1, 1), (5, 3, 2)):
        windows = {"kernel_size": kernel, "stride": stride, "padding": padding, "axis": axes}
        size = list(numpool.output_shape(shape, **windows))
        size[-1] *= abs(step)
        gradient = rng.standard_normal(size).astype(dtype)
        swapped = gradient.astype(gradient.dtype.newbyteorder())[..., ::step]
        for counted in (True, False):
            got = numpool.avg_pool_backward(swapped, x, **windows, count_include_pad=counted)
            expected = numpool.avg_pool_backward(
                gradient[..., ::step], x, **windows, count_include_pad=counted
            )
            np.testing.assert_array_equal(got, expected)
