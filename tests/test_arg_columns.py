"""The arg-max along rows of single columns, which is taken by neighbouring windows: the naive loop
over windows finds the same.
"""

import numpy as np
import oracle
import pytest

import numpool
from numpool import _calls, _tap_plans
from numpool._cpu import library

# shape, arguments: windows that overlap along the last axis, where 16 of them or more stand.
CASES = [
    ((3, 9, 20), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ((2, 12, 40), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 11, 33), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ((2, 14, 50), {"kernel_size": 5, "stride": 3, "padding": 2}),
    ((2, 13, 80), {"kernel_size": 6, "stride": 4, "padding": [(1, 3), (3, 0)]}),
    ((2, 9, 70), {"kernel_size": (3, 7), "stride": (1, 4), "padding": (0, 3)}),
    ((2, 9, 31), {"kernel_size": 2, "stride": 1, "dilation": (2, 3)}),
    ((3, 60), {"kernel_size": 9, "stride": 1, "padding": 4, "axis": 1}),
    ((1, 300), {"kernel_size": 15, "stride": 2, "padding": "same", "axis": 1}),
    ((2, 3, 18), {"kernel_size": (1, 3), "stride": (1, 1)}),
    # Windows apart that reach beyond the edges, all with some data.
    ((2, 30, 50), {"kernel_size": 2, "stride": 1, "dilation": 4, "padding": 4}),
    ((2, 9, 60), {"kernel_size": 3, "stride": 2, "dilation": (5, 4), "padding": (6, 8)}),
]
# Windows that do not overlap along the last axis, or have taps along three.
APART = [
    ((3, 9, 40), {"kernel_size": 2}),
    ((2, 9, 61), {"kernel_size": 3, "padding": 1, "ceil_mode": True}),
    ((2, 10, 70), {"kernel_size": 2, "stride": (2, 4), "padding": (1, 0), "dilation": (1, 3)}),
    ((2, 7, 90), {"kernel_size": (1, 4), "stride": (1, 4), "dilation": (1, 1)}),
    ((5, 6, 34), {"kernel_size": 2, "axis": (0, 1, 2)}),
    ((5, 7, 40), {"kernel_size": 3, "stride": 2, "padding": 1, "axis": (0, 1, 2)}),
    ((7, 4, 20), {"kernel_size": (2, 1, 3), "stride": 1, "dilation": (3, 1, 1), "axis": (0, 1, 2)}),
    ((4, 6, 50), {"kernel_size": (3, 2, 2), "stride": (1, 2, 2), "padding": (1, 0, 1),
                  "axis": (0, 1, 2)}),
]  # fmt: skip
DTYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64",
]  # fmt: skip
LAYOUTS = {
    "C": lambda x: x,
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
}


def values(shape, dtype):
    """Few different values, so that many taps are equal; infinities, NaN and both zeros too."""
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        some = np.array([-np.inf, -2.0, -0.0, 0.0, 1.5, np.inf, np.nan], dtype)
        x = rng.choice(some, shape, p=[0.3, 0.2, 0.2, 0.2, 0.06, 0.02, 0.02])
        x[0, ..., :9] = -np.inf
        return x
    if dtype == "bool":
        return rng.random(shape) < 0.1
    limits = np.iinfo(dtype)
    some = np.array([limits.min, 0, 1, limits.max], dtype)
    return rng.choice(some, shape, p=[0.6, 0.2, 0.15, 0.05])


def naive(x, indices, **arguments):
    """Values and indices by the naive loop."""
    found, positions, offsets = oracle.max_pool(x, **arguments)
    return found, positions if indices is True else offsets


def kernels_of(monkeypatch):
    """The kernels of calls that are planned from now on."""
    kernels = []
    address = library.address
    monkeypatch.setattr(library, "address", lambda *key: kernels.append(key[0]) or address(*key))
    _calls._calls.clear()
    return kernels


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "arguments"), CASES + APART)
def test_as_the_naive_loop(shape, arguments, dtype, layout, monkeypatch):
    # Where vectors are wide, windows apart go another way.
    monkeypatch.setattr(_tap_plans, "has_wide_vectors", lambda: False)
    x = LAYOUTS[layout](values(shape, dtype))
    arguments = {"axis": (1, 2), **arguments}
    kernels = kernels_of(monkeypatch)
    for indices in (True, "offset"):
        found = numpool.max_pool(x, return_indices=indices, **arguments)
        for result, right in zip(found, naive(x, indices, **arguments), strict=True):
            assert result.dtype == right.dtype
            np.testing.assert_array_equal(result, right)
    assert kernels.count("argmax_by_columns") == 2


def test_where_vectors_are_wide(monkeypatch):
    monkeypatch.setattr(_tap_plans, "has_wide_vectors", lambda: True)
    x = values((3, 9, 40), "float32")
    kernels = kernels_of(monkeypatch)
    found = numpool.max_pool(x, 2, axis=(1, 2), return_indices=True)
    assert "argmax_by_columns" not in kernels
    for result, right in zip(found, naive(x, True, kernel_size=2, axis=(1, 2)), strict=True):
        np.testing.assert_array_equal(result, right)


@pytest.mark.parametrize(("shape", "stride"), [((70, 9000), 2), ((1, 20000), 1), ((900, 60), 3)])
def test_rows_cut_into_tiles_and_bands(shape, stride, monkeypatch):
    """Long rows, and planes larger than what is laid out at a time."""
    x = values(shape, "float32")
    rows = min(shape[0], 4)
    kernels = kernels_of(monkeypatch)
    found, positions = numpool.max_pool(x, (rows, 5), stride=stride, return_indices=True)
    assert "argmax_by_columns" in kernels
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, 5))[::stride, ::stride]
    taps = windows.reshape(*found.shape, -1)
    row, column = np.divmod(taps.argmax(-1), 5)  # the first NaN, or the first largest
    row += stride * np.arange(found.shape[0])[:, None]
    column += stride * np.arange(found.shape[1])
    np.testing.assert_array_equal(positions, row * shape[1] + column)
    np.testing.assert_array_equal(found, x[row, column])


@pytest.mark.parametrize("out_layout", ["F", "every second"])
def test_results_in_pieces(out_layout):
    x = values((2, 12, 40), "float32")
    expected = naive(x, True, kernel_size=3, stride=2, padding=1, axis=(1, 2))
    out = tuple(np.zeros_like(e, order="F") for e in expected)
    if out_layout != "F":
        out = tuple(np.zeros((*e.shape[:-1], 2 * e.shape[-1]), e.dtype)[..., ::2] for e in expected)
    numpool.max_pool(x, 3, stride=2, padding=1, axis=(1, 2), return_indices=True, out=out)
    for result, right in zip(out, expected, strict=True):
        np.testing.assert_array_equal(result, right)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "stride": 1, "padding": 3},
        {"kernel_size": 3, "stride": 6, "padding": (0, 0)},
    ],
)
def test_windows_without_data_go_another_way(arguments, monkeypatch):
    x = values((2, 30, 50), "float32")
    kernels = kernels_of(monkeypatch)
    found = numpool.max_pool(x, axis=(1, 2), return_indices=True, **arguments)
    expected = naive(x, True, axis=(1, 2), **arguments)
    assert "argmax_by_columns" not in kernels
    for result, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result, right)
