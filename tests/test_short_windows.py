"""Short windows are taken straight from rows of the source, as the general walk and NumPy have
them, for rows that end anywhere in a vector.
"""

import numpy as np
import pytest

import numpool
from numpool import _calls, _short_plans
from numpool._cpu.short_loops import CHANNELS, SHORT
from numpool._cpu.vector_loops import VECTOR_BYTES

WINDOWS_ALONG_ROWS = [shape for shapes in SHORT.values() for shape in shapes]
DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int64"]
OPERATORS = {
    "max": numpool.max_pool,
    "average": numpool.avg_pool,
    "average of data": lambda x, *a, **k: numpool.avg_pool(x, *a, **k, count_include_pad=False),
    "average over 7": lambda x, *a, **k: numpool.avg_pool(x, *a, **k, divisor_override=7),
    "average in place": lambda x, *a, **k: numpool.avg_pool(
        x, *a, **k, dtype=x.dtype.newbyteorder("=")
    ),
    "L1": lambda x, *a, **k: numpool.lp_pool(x, *a, **k, p=1),
    "L2": lambda x, *a, **k: numpool.lp_pool(x, *a, **k, p=2),
    "L-inf": lambda x, *a, **k: numpool.lp_pool(x, *a, **k, p=np.inf),
}


def values(shape, dtype, seed=0):
    """Small integers, whose sums are exact; of floats some are NaN or infinite."""
    rng = np.random.default_rng(seed)
    low = 0 if np.dtype(dtype).kind == "u" else -12
    x = rng.integers(low, 12, shape).astype(dtype)
    if x.dtype.kind == "f":
        some = rng.random(shape) < 0.02
        x[some] = rng.choice([-np.inf, np.inf, np.nan], some.sum())
    return x


def both_ways(monkeypatch, walks, pool, x, **arguments):
    """A result, and that of the general walk."""
    walks.clear()
    _calls._calls.clear()
    short = pool(x, **arguments)
    assert walks[0] == "walk_short_windows"
    with monkeypatch.context() as patched:
        patched.setattr(_calls, "are_short", lambda *_: False)
        patched.setattr(_calls, "short_plan", lambda *_: None)
        _calls._calls.clear()
        walks.clear()
        general = pool(x, **arguments)
    assert "walk_short_windows" not in walks
    _calls._calls.clear()
    return short, general


def same(a, b):
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def widths(kernel, stride, dtype):
    """Rows that end at all places of a vector and of a pair of them, and long ones."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    shortest = 3 * lanes if kernel == stride else min(3 * lanes // 2, 32)
    return [*range(shortest, shortest + 2 * lanes + 3, 1 if lanes < 32 else 5), 20011]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), WINDOWS_ALONG_ROWS)
def test_rows_of_any_length(kernel, stride, dilation, dtype, monkeypatch, walks):
    operators = ["max", "average", "L1"] if dtype in ("float32", "float64") else ["max"]
    for width in widths(kernel, stride, dtype):
        for padding in {0, kernel // 2}:
            x = values((3, width), dtype, seed=width)
            window = {"kernel_size": (2, kernel), "stride": (1, stride), "padding": (0, padding)}
            window["dilation"] = (1, dilation)
            for operator in operators:
                found = both_ways(monkeypatch, walks, OPERATORS[operator], x, **window)
                assert same(*found), (operator, window, width)


def maxima(x, kernel, stride, padding, dilation=1):
    """By NumPy."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2], constant_values=lowest)
    reach = (kernel - 1) * dilation + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), (1, 2))
    return windows[:, ::stride, ::stride, ::dilation, ::dilation].max((3, 4))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), WINDOWS_ALONG_ROWS)
def test_maxima_are_numpys(kernel, stride, dilation, dtype, walks):
    x = values((2, 9, 250), dtype)
    for padding in {0, kernel // 2}:
        window = kernel, stride, padding, dilation
        found = numpool.max_pool2d(x, *window)
        assert walks[-1] == "walk_short_windows"
        assert same(found, maxima(x, *window))


def narrow_shapes(kernel, stride, dilation, dtype):
    """Planes with rows that fill a part of a vector, one or two, with padding that takes its share
    of them.
    """
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    reached = min(lanes // 2, 15) + kernel * dilation + stride
    for reach in (reached, lanes, lanes + 2, 2 * lanes):
        for padding in {0, kernel // 2}:
            yield (2, 67, 9, reach - 2 * padding), padding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), WINDOWS_ALONG_ROWS)
def test_planes_whose_rows_fit_a_vector(kernel, stride, dilation, dtype, monkeypatch, walks):
    """Many at a time: the last block of them is smaller, and the batch is of two axes."""
    operators = ["max", "average", "average of data", "L2"]
    for shape, padding in narrow_shapes(kernel, stride, dilation, dtype):
        base = values((2, 70, *shape[2:]), dtype, seed=shape[-1])
        window = {"kernel_size": kernel, "stride": stride, "padding": padding, "axis": (2, 3)}
        window["dilation"] = dilation
        for x in (base[:, 3:], base[:, :67, ::-1]):
            for operator in operators if dtype in ("float32", "float64") else ["max"]:
                short, general = both_ways(monkeypatch, walks, OPERATORS[operator], x, **window)
                np.testing.assert_allclose(short, general, rtol=1e-6 if operator == "L2" else 0)
        planes = numpool.max_pool2d(base[:, 3:], kernel, stride, padding, dilation)
        expected = base[:, 3:].reshape(-1, *shape[2:])
        expected = maxima(expected, kernel, stride, padding, dilation)
        assert same(planes.reshape(expected.shape), expected)


# Shape, arguments: taps along depth and rows, rows apart, all with and some without padding.
WINDOWS = [
    ((2, 300), {"kernel_size": 3, "stride": 1, "padding": 1, "axis": 1}),
    ((20, 300), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((20, 300), {"kernel_size": (7, 3), "stride": (3, 1), "padding": (3, 0)}),
    ((20, 300), {"kernel_size": (3, 2), "stride": (4, 2), "dilation": (5, 1), "padding": (1, 0)}),
    ((9, 301), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    ((9, 301), {"kernel_size": (1, 5), "stride": (2, 1), "padding": "same"}),
    ((6, 7, 300), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((6, 7, 300), {"kernel_size": (2, 2, 5), "stride": 1, "padding": ((0, 1), (1, 0), (2, 1))}),
    ((4, 30000), {"kernel_size": 3, "stride": (1, 2), "padding": 1}),
    ((3, 301), {"kernel_size": 4, "axis": 1}),
    ((5, 302), {"kernel_size": 5, "stride": 2, "padding": 2, "axis": 1}),
    ((12, 301), {"kernel_size": 4}),
    ((12, 301), {"kernel_size": (2, 3), "padding": (0, 1)}),
    ((20, 300), {"kernel_size": 5, "stride": 3, "padding": 1}),
]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("shape", "window"), WINDOWS)
def test_every_operator(operator, shape, window, monkeypatch, walks):
    others = () if operator.startswith("L") else ("uint8", "int16")
    if operator in ("average", "L2"):
        others += ("float16", "float64")
    for dtype in ("float32", *others):
        x = values(shape, dtype)
        short, general = both_ways(monkeypatch, walks, OPERATORS[operator], x, **window)
        if operator == "L2":
            np.testing.assert_allclose(short, general, rtol=1e-6)
        else:
            assert same(short, general), dtype


@pytest.mark.parametrize("operator", ["max", "average", "average of data", "L2"])
def test_rows_that_stand_apart(operator, monkeypatch, walks):
    x = values((5, 12, 2, 400), "float32")[::-1, ::2, 1, 3:-20]
    window = {"kernel_size": 3, "stride": 2, "padding": 1, "axis": (1, 2)}
    short, general = both_ways(monkeypatch, walks, OPERATORS[operator], x, **window)
    np.testing.assert_allclose(short, general, rtol=1e-6)
    # The results as well, and results whose columns do.
    for wide in (np.zeros((5, 3, 200), "float32")[:, :, :189], np.zeros((5, 3, 378), "float32")):
        out = wide[:, ::-1, ::2] if wide.shape[2] == 378 else wide
        OPERATORS[operator](x, **window, out=out)
        np.testing.assert_allclose(out, short, rtol=1e-6)


@pytest.mark.parametrize(
    ("operator", "dtype"),
    [
        ("max", "float32"),
        ("max", "uint8"),
        ("average", "float64"),
        ("average", "int16"),
        ("L1", "float32"),
        ("L2", "float64"),
    ],
)
def test_columns_apart_and_bytes_in_the_other_order(operator, dtype, monkeypatch, walks):
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    for width in (*range(3 * lanes, 5 * lanes + 2, 3 if lanes > 16 else 1), 17001):
        base = values((4, 2 * width + 1), dtype, seed=width)
        swapped = base.astype(base.dtype.newbyteorder())
        for array in (base[:, 1::2], base[:, ::-1], base[:, -2::-2], swapped, swapped[:, ::-2]):
            for kernel, stride in ((3, 1), (3, 2), (2, 2)):
                window = {"kernel_size": kernel, "stride": stride, "padding": kernel // 3}
                found, general = both_ways(monkeypatch, walks, OPERATORS[operator], array, **window)
                np.testing.assert_allclose(found, general, rtol=1e-6 if operator == "L2" else 0)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int16"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_pixels_of_channels(channels, dtype, monkeypatch, walks):
    """Rows that end anywhere in a block of vectors; images side by side, apart and upside down."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    operators = ["max", "average", "average of data", "average in place", "average over 7"]
    if dtype == "float32":
        operators += ["L1", "L2", "L-inf"]
    for width in (6 * lanes // channels + 1, 10 * lanes // channels, 9000):
        base = values((3, 7, width, channels), dtype, seed=width)
        for x, window in (
            (base[:, :6], {"kernel_size": 2}),
            (base[:, ::-1], {"kernel_size": 2, "padding": 1}),
            (base[::2], {"kernel_size": (3, 2), "stride": (1, 2), "ceil_mode": True}),
        ):
            window["axis"] = (1, 2)
            for operator in operators:
                found, general = both_ways(monkeypatch, walks, OPERATORS[operator], x, **window)
                np.testing.assert_allclose(found, general, rtol=1e-6 if operator == "L2" else 0)
        window = {"kernel_size": 2, "axis": (1, 2)}
        out = np.zeros((3, 3, width // 2 + 5, channels), dtype)[:, :, 5:]
        numpool.max_pool(base, **window, out=out)
        blocks = base[:, :6, : width // 2 * 2].reshape(3, 3, 2, width // 2, 2, channels)
        assert same(out, blocks.max((2, 4)))


# Of pixels: with taps that neighbours share, near and apart, and with taps of their own.
CHANNEL_WINDOWS = [
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 2, "dilation": 2},
    {"kernel_size": (2, 3), "stride": (3, 1), "dilation": (1, 4)},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2},
    {"kernel_size": (1, 9), "stride": (1, 2), "ceil_mode": True},
    {"kernel_size": (4, 1), "stride": (3, 1), "padding": "same"},
    {"kernel_size": (7, 9), "stride": 4, "padding": 3},
]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("window", CHANNEL_WINDOWS, ids=str)
def test_channels_side_by_side(operator, window, monkeypatch, walks):
    """Of any number that fills a vector; images apart, mirrored and upside down."""
    others = ("float16",) if operator.startswith("L") else ("uint8", "int16")
    for dtype in ("float32", *others):
        lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        longest = (65 * lanes + 2,) if dtype == "float32" else ()
        for channels in (lanes, lanes + 1, 4 * lanes, 6 * lanes - 1, *longest):
            base = values((3, 9, 10, channels), dtype, seed=channels)
            swapped = base[:1].astype(base.dtype.newbyteorder())
            for x in (base[:2], base[::2, ::-1, ::-1], swapped):
                arguments = {**window, "axis": (1, 2)}
                found, general = both_ways(monkeypatch, walks, OPERATORS[operator], x, **arguments)
                np.testing.assert_allclose(found, general, rtol=1e-6 if operator == "L2" else 0)


@pytest.mark.parametrize("channels", [16, 20, 32])
def test_many_images_of_few_channels(channels, walks):
    x = values((300, 4, 5, channels), "float32")
    expected = maxima(np.moveaxis(x, 3, 1).reshape(-1, 4, 5), 3, 1, 1)
    found = numpool.max_pool(x, 3, 1, 1, axis=(1, 2))
    assert walks[-1] == "walk_short_windows"
    assert same(np.moveaxis(found, 3, 1).reshape(expected.shape), expected)


@pytest.mark.parametrize(("dtype", "width"), [("float32", 32), ("uint8", 128)])
def test_many_small_images_of_pixels(dtype, width, walks):
    x = values((300, 4, width, 3), dtype)
    expected = maxima(np.moveaxis(x, 3, 1).reshape(-1, 4, width), 2, 2, 0)
    found = numpool.max_pool(x, 2, axis=(1, 2))
    assert walks[-1] == "walk_short_windows"
    assert same(np.moveaxis(found, 3, 1).reshape(expected.shape), expected)


def test_no_tile_is_smaller_than_a_vector():
    for columns in (16, 17, 100, 5979, 5980, 6001, 70_000):
        for count in (1, 2, 3, 7, 50, 98, columns):
            tiles, each = _short_plans._tiles(columns, count, 16)
            assert tiles >= 1 and (tiles - 1) * each < columns <= tiles * each
            assert columns - (tiles - 1) * each >= 16


@pytest.mark.parametrize("dtype", DTYPES)
def test_maxima_of_channels_are_numpys(dtype, walks):
    for channels in (64, 70, 200):
        x = values((2, 9, 12, channels), dtype, seed=channels)
        planes = np.moveaxis(x, 3, 1).reshape(-1, 9, 12)
        for window in ((3, 1, 1), (3, 2, 1), (2, 2, 0)):
            out = np.zeros((2, 9, 12, channels + 3), dtype)
            expected = maxima(planes, *window)
            out = out[:, : expected.shape[1], : expected.shape[2], 3:]
            numpool.max_pool(x, *window, axis=(1, 2), out=out)
            assert walks[-1] == "walk_short_windows"
            assert same(np.moveaxis(out, 3, 1).reshape(expected.shape), expected)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("kernel", [5, 6, 8, 15, 16, 17, 24, 49, 63])
def test_runs_of_neighbours(operator, kernel, monkeypatch, walks):
    """Side by side, apart and with neighbours in common; in lines that end anywhere, and in the
    other byte order.
    """
    others = ["float64"] if kernel < 64 else []
    if operator in ("average", "L1"):
        others += ["float16"]
    if not operator.startswith("L"):
        others += ["int32" if operator == "max" else "int16"]
    for dtype in ("float32", *others):
        lanes = VECTOR_BYTES // max(np.dtype(dtype).itemsize, 4)
        for stride in {kernel, kernel + 3, kernel - kernel // 3}:
            for outputs in (lanes, 2 * lanes + 1, 700):
                x = values((3, kernel + (outputs - 1) * stride), dtype, seed=outputs)
                window = {"kernel_size": kernel, "stride": stride, "axis": 1}
                for array in (x, x[::-2], x.astype(x.dtype.newbyteorder())):
                    found, general = both_ways(
                        monkeypatch, walks, OPERATORS[operator], array, **window
                    )
                    exact = operator != "L2"
                    np.testing.assert_allclose(found, general, rtol=0 if exact else 1e-6)


@pytest.mark.parametrize("operator", OPERATORS)
def test_whole_planes(operator, monkeypatch, walks):
    x = values((3, 20, 7, 7), "float32")
    found, general = both_ways(
        monkeypatch, walks, OPERATORS[operator], x, kernel_size=7, axis=(2, 3)
    )
    np.testing.assert_allclose(found, general, rtol=1e-6 if operator == "L2" else 0)


# An image, channels last, and planes that are walked as channels.
MAGNITUDES = [((90, 300), (0, 1)), ((19, 10, 70), (0, 1)), ((300, 5, 6), (1, 2))]


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axis"), MAGNITUDES)
def test_roots_of_sums_that_may_have_lost_digits(shape, axis, dtype, p, monkeypatch, walks):
    def norms(x, **window):
        return numpool.lp_pool(x, 3, 2, 1, p=p, axis=axis)

    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    limits = np.finfo(dtype)
    for value in (0.0, np.nan, limits.max / 16, limits.tiny, limits.smallest_subnormal, np.inf):
        x[4:10] = value
        found, general = both_ways(monkeypatch, walks, norms, x)
        padded = np.pad(x, [(int(i in axis),) * 2 for i in range(x.ndim)])
        taps = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis)
        taps = taps[tuple(slice(None, None, 1 + (i in axis)) for i in range(x.ndim))]
        largest = np.abs(taps).max((-2, -1), keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = (np.abs(taps / np.where(largest > 0, largest, 1)) ** p).sum((-2, -1))
        largest = largest[..., 0, 0]
        expected = largest * scaled ** (1 / p)
        if value == np.inf:
            expected[largest == np.inf] = np.inf
        np.testing.assert_allclose(found, expected.astype(dtype), rtol=1e-5)
        np.testing.assert_allclose(found, general, rtol=1e-6)
        # The plan is for all arrays of its kind: it gives up on this one alone.
        x[4:10] = 1
        assert same(norms(x), both_ways(monkeypatch, walks, norms, x)[0])


def test_windows_that_are_not_short(walks):
    """One condition each: rows too short, columns apart, empty rows, other windows."""
    x = values((6, 2, 400), "float32")
    for array, window in (
        (x[:, :, :5], {"kernel_size": 3}),
        (x[:, :, ::3], {"kernel_size": 3, "stride": 1}),
        (x, {"kernel_size": (1, 3), "stride": (1, 2), "padding": ((2, 0), (0, 0))}),
        (x, {"kernel_size": (1, 3), "stride": (1, 2), "padding": ((0, 2), (0, 0))}),
        (x, {"kernel_size": (2, 3), "dilation": (3, 1), "padding": (2, 0), "stride": 1}),
        (x, {"kernel_size": (2, 6)}),
        (x, {"kernel_size": (2, 3), "dilation": (1, 2)}),
        (x, {"kernel_size": (2, 3), "dilation": (1, 3), "stride": 1}),
        (values((9, 9, 15), "float32"), {"kernel_size": 2, "axis": (0, 1)}),
        (values((9, 9, 40), "float32")[:, :, ::2], {"kernel_size": 2, "axis": (0, 1)}),
        (values((9, 9, 16), "float32"), {"kernel_size": (4, 3), "stride": 1, "axis": (0, 1)}),
        (values((9, 10, 16), "float32"), {"kernel_size": (1, 10), "axis": (0, 1)}),
    ):
        arguments = {"axis": (1, 2), **window}
        if array.shape[1] < 3:
            arguments.setdefault("padding", (1, 0))
        numpool.max_pool(array, **arguments)
        assert walks[-1] != "walk_short_windows", window
