"""Columns that stand apart or backwards, which are taken as vectors: the results are those of a
contiguous copy.
"""

import ctypes

import numpy as np
import pytest

import numpool
from numpool import _calls
from numpool._cpu import library

STEPS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)
DTYPES = ["bool", "uint8", "int16", "float16", "float32", "int32", "float64", "uint64"]


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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", STEPS)
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
        if dtype != "bool":
            results += [
                lambda a, k=arguments: numpool.avg_pool(a, **k),
                lambda a, k=arguments: numpool.lp_pool(a, **k, p=1),
                lambda a, k=arguments: numpool.lp_pool(a, **k, p=2),
            ]
        for pool in results:
            np.testing.assert_array_equal(pool(x), pool(copy))
    assert ("take" in families) == (2 <= abs(step) <= 4 or step == -1)
