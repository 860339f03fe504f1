"""The arg-max of magnitudes, which L-inf's backward pass asks for: that of |x|, in every kernel."""

import numpy as np
import pytest

import numpool
from numpool import _calls
from numpool._cpu import library

# kernel, shape, window axes, (kernel_size, stride, padding, dilation)
CASES = [
    ("argmax_by_columns", (3, 9, 40), (1, 2), (3, 2, 1, 1)),
    ("argmax_by_columns", (2, 12, 21), (1, 2), (2, 1, 0, (1, 3))),
    ("argmax_by_taps", (2, 9, 8, 40), (1, 2), (3, 2, 1, 1)),
    ("argmax_by_runs", (5, 8, 9), (1, 2), ((8, 9), None, 0, 1)),
    ("argmax_by_runs", (2, 3, 500), (2,), (100, 50, 90, 1)),
    (None, (4, 11, 13), (1, 2), (2, 2, 0, 1)),
    (None, (2, 6, 7, 8), (1, 2, 3), (4, 1, 2, 1)),
]
LAYOUTS = {
    "C": lambda x: x,
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "Fortran": np.asfortranarray,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("kernel", "shape", "axis", "window"), CASES)
def test_as_of_positive_numbers(kernel, shape, axis, window, dtype, layout, monkeypatch):
    rng = np.random.default_rng(8)
    some = np.array([-np.inf, -2.0, -1.5, -0.0, 0.0, 1.5, 2.0, np.nan], dtype)
    x = LAYOUTS[layout](rng.choice(some, shape, p=[0.01, 0.05, 0.1, 0.3, 0.4, 0.1, 0.03, 0.01]))
    expected = numpool.max_pool(np.abs(x), *window, axis=axis, return_indices="offset")
    kernels = []
    address = library.address
    monkeypatch.setattr(library, "address", lambda *key: kernels.append(key[0]) or address(*key))
    _calls._calls.clear()
    found = _calls.pool("max", x, None, (*window, False, axis), ("offset", True), None)
    for result, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result, right)
    if kernel and layout == "C":
        assert kernel in kernels
