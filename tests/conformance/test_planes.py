"""Compare numpool on one plane with the filters of scikit-image, SciPy and OpenCV.

Maxima have to be equal. Averages may differ by numpool's documented bound and by the rounding of
the peer, which is stated at each comparison; `eps` is that of the type the peer computes in.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from differences import DIFFERENCES, Case, Tally

import numpool

measure = pytest.importorskip("skimage.measure")
ndimage = pytest.importorskip("scipy.ndimage")
cv2 = pytest.importorskip("cv2")

EPS64 = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)


def _lowest(dtype):
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return False
    return -math.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _plane(rng, shape, dtype) -> np.ndarray:
    """A plane with ties, both signs where there are two, and the dtype's extremes."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.2
    info = np.iinfo(dtype)
    x = rng.integers(max(info.min, -200), min(info.max, 200), shape, dtype, endpoint=True)
    x.flat[:: max(1, x.size // 7)] = info.max
    x.flat[1 :: max(1, x.size // 5)] = info.min
    return x


def _same(ours, theirs) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    wrong = np.argwhere(ours != theirs)
    assert not wrong.size, f"{ours[tuple(wrong[0])]} at {wrong[0]}, not {theirs[tuple(wrong[0])]}"


def _near(ours, theirs, bound) -> None:
    """Within `bound`, and half a unit in the last place of the result."""
    assert ours.shape == theirs.shape
    wide = np.asarray(theirs, np.float64)
    error = np.abs(ours.astype(np.float64) - wide)
    allowed = bound + 0.5 * np.spacing(np.abs(wide).astype(ours.dtype)).astype(np.float64)
    worst = int(np.argmax(error - allowed))
    assert (error <= allowed).all(), f"off by {error.flat[worst]}, allowed {allowed.flat[worst]}"


def _average_bound(x: np.ndarray, window, **options) -> np.ndarray:
    """numpool's bound for an average: (ceil(log2 n) + 2) eps of the average of magnitudes."""
    size = numpool.avg_pool(np.abs(x.astype(np.float64)), *window, **options)
    eps = EPS64 if x.dtype.kind != "f" or x.dtype == np.float64 else EPS32
    return (math.ceil(math.log2(math.prod(window[0]))) + 2) * eps * size


def _case(peer, op, x, kernel, stride=None, **raw) -> Case:
    ones, zeros = (1,) * x.ndim, (0,) * x.ndim
    return Case(peer, op, x, kernel, stride or kernel, zeros, ones, raw=raw)


# --- scikit-image -------------------------------------------------------------------------------

BLOCKS = ((1, 1), (2, 2), (3, 2), (1, 5), (7, 4), (8, 16))
BLOCK_DTYPES = (
    *(np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64),
    *(np.float16, np.float32, np.float64, np.bool_),
)


def _compare_blocks(case: Case, known) -> None:
    x, kernel = case.x, case.kernel
    fill = [(0, -n % k) for n, k in zip(x.shape, kernel, strict=True)]
    if "skimage-padding" not in known:
        assert not np.array(fill).any()
    # its padding is data, 0 unless told otherwise
    padded = np.pad(x, fill)
    _same(numpool.max_pool2d(padded, kernel), measure.block_reduce(x, kernel, np.max))
    # told the lowest value, it ignores its padding as numpool does
    theirs = measure.block_reduce(x, kernel, np.max, cval=_lowest(x.dtype))
    _same(numpool.max_pool2d(x, kernel, ceil_mode=True), theirs)
    if x.dtype.kind == "f":
        theirs = measure.block_reduce(x, kernel, np.min, cval=math.inf)
        _same(-numpool.max_pool2d(-x, kernel, ceil_mode=True), theirs)

    # an average over zeros too is one that counts the padding
    window = (kernel, None, fill)
    got = numpool.avg_pool2d(x, *window)
    theirs = measure.block_reduce(x, kernel, np.mean)
    assert got.dtype == (x.dtype if x.dtype.kind == "f" else np.float64)
    # np.mean sums floats in their own type, float16 in float32, and rounds the quotient
    taps = math.prod(kernel)
    eps = EPS32 if x.dtype in (np.float16, np.float32) else EPS64
    half_place = np.spacing(np.abs(theirs)) / 2 if x.dtype == np.float16 else 0.0
    size = numpool.avg_pool2d(np.abs(x.astype(np.float64)), *window)
    _near(got, theirs, _average_bound(x, window) + (taps + 1) * eps * size + half_place)


def test_block_reduce(capsys):
    """Blocks, whole and cut, in ten dtypes."""
    rng = np.random.default_rng(3)
    tally = Tally("scikit-image block_reduce")
    shapes = ((16, 112), (37, 41), (5, 3))
    for dtype, kernel, shape in itertools.product(BLOCK_DTYPES, BLOCKS, shapes):
        x = _plane(rng, shape, dtype)
        tally.check(_case("scikit-image", "max", x, kernel), _compare_blocks)
    tally.finish(capsys, 180)


# --- SciPy --------------------------------------------------------------------------------------

SIZES = (1, 2, 3, 4, 5, 8, 15, 31)
FILTER_DTYPES = (
    *(np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64),
    *(np.float32, np.float64),
)


def _compare_maximum_filter(case: Case, known) -> None:
    x, kernel = case.x, case.kernel
    if "scipy-wide-integers" in known:
        x = np.clip(x, -(2**53) if x.dtype.kind == "i" else 0, 2**53)
    window = (kernel, 1, "same_lower")
    got = numpool.max_pool(x, *window)
    low = _lowest(x.dtype)
    _same(got, ndimage.maximum_filter(x, kernel, mode="constant", cval=low))
    # an edge repeated or mirrored brings no value that the window has not got
    if all(k // 2 <= n for k, n in zip(kernel, x.shape, strict=True)):
        for mode in ("nearest", "reflect"):
            _same(got, ndimage.maximum_filter(x, kernel, mode=mode))
    if x.dtype.kind != "u":
        # the lowest integer has no negative
        y = np.maximum(x, low + 1) if x.dtype.kind == "i" else x
        high = math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).max
        theirs = ndimage.minimum_filter(y, kernel, mode="constant", cval=high)
        _same(-numpool.max_pool(-y, *window), theirs)
    # a window whose taps lie apart is a footprint with holes
    spread = tuple(2 * (k - 1) + 1 for k in kernel)
    if max(spread) < 20:
        footprint = np.zeros(spread, bool)
        footprint[(slice(None, None, 2),) * x.ndim] = True
        theirs = ndimage.maximum_filter(x, footprint=footprint, mode="constant", cval=low)
        _same(numpool.max_pool(x, kernel, 1, "same_lower", 2), theirs)


def test_maximum_filter(capsys):
    """Dilation and erosion by rectangles, lines and grids, for one to three axes."""
    rng = np.random.default_rng(4)
    tally = Tally("SciPy maximum_filter")
    for dtype, size in itertools.product(FILTER_DTYPES, SIZES):
        for shape, kernel in (
            ((61,), (size,)),
            ((24, 33), (size, size)),
            ((33, 24), (3, size)),
            ((9, 10, 11), (2, min(size, 5), 3)),
        ):
            x = _plane(rng, shape, dtype)
            tally.check(_case("SciPy", "max", x, kernel, (1,) * x.ndim), _compare_maximum_filter)
    tally.finish(capsys, 256)


def _compare_uniform_filter(case: Case, known) -> None:
    x, kernel = case.x, case.kernel
    assert not known
    window = (kernel, 1, "same_lower")
    got = numpool.avg_pool(x, *window)
    theirs = ndimage.uniform_filter(x, kernel, output=np.float64, mode="constant")
    # One line at a time in float64: a running sum errs by at most eps of the largest sum of k
    # magnitudes for each of two additions a step, and the quotient by eps; an axis after the
    # other, where an average of erring values errs no more than they do.
    most = float(np.abs(x.astype(np.float64)).max())
    steps = sum(2 * (n + k) + 1 for n, k in zip(x.shape, kernel, strict=True))
    _near(got, theirs, _average_bound(x, window) + steps * EPS64 * most)


def test_uniform_filter(capsys):
    """Averages that count the padding as zeros, of floats and of integers."""
    rng = np.random.default_rng(5)
    tally = Tally("SciPy uniform_filter")
    for dtype, size in itertools.product(FILTER_DTYPES, SIZES):
        for shape, kernel in (
            ((61,), (size,)),
            ((24, 33), (size, size)),
            ((33, 24), (3, size)),
            ((9, 10, 11), (2, min(size, 5), 3)),
        ):
            x = _plane(rng, shape, dtype)
            if x.dtype.itemsize == 8 and x.dtype.kind in "iu":
                x = (x % 1000).astype(dtype)  # 2**63 beside 1 is not for a float64 sum
            case = _case("SciPy", "avg", x, kernel, (1,) * x.ndim, output=np.float64)
            tally.check(case, _compare_uniform_filter)
    tally.finish(capsys, 256)


# --- OpenCV -------------------------------------------------------------------------------------

CV_DTYPES = (np.uint8, np.uint16, np.int16, np.float32, np.float64)


def _compare_dilate(case: Case, known) -> None:
    x, (high, wide) = case.x, case.kernel
    element = np.ones((high, wide), np.uint8)
    _same(numpool.max_pool2d(x, (high, wide), 1, "same_lower"), cv2.dilate(x, element))
    holes = np.zeros((3 * (high - 1) + 1, 2 * (wide - 1) + 1), np.uint8)
    holes[::3, ::2] = 1
    ours = numpool.max_pool2d(x, (high, wide), 1, "same_lower", (3, 2))
    _same(ours, cv2.dilate(x, holes))


def test_dilate(capsys):
    """Rectangles up to 101 wide, and elements with holes."""
    rng = np.random.default_rng(6)
    tally = Tally("OpenCV dilate")
    kernels = ((1, 1), (2, 2), (3, 3), (5, 4), (1, 31), (31, 31), (101, 3))
    for dtype, kernel, shape in itertools.product(CV_DTYPES, kernels, ((33, 47), (120, 64))):
        x = _plane(rng, shape, dtype)
        tally.check(_case("OpenCV", "max", x, kernel, (1, 1)), _compare_dilate)
    tally.finish(capsys, 70)


def _compare_blur(case: Case, known) -> None:
    x, (high, wide) = case.x, case.kernel
    window = (case.kernel, 1, "same_lower")
    options = {"ksize": (wide, high), "borderType": cv2.BORDER_CONSTANT}
    ours = numpool.avg_pool2d(x, *window)
    # Sums in float64 that slide along a line and then from line to line, as in SciPy's filter,
    # and one rounding of the quotient to the result's type.
    wider = np.float64 if x.dtype == np.float64 else np.float32
    exact = cv2.boxFilter(x, cv2.CV_64F if wider is np.float64 else cv2.CV_32F, **options)
    most = float(np.abs(x.astype(np.float64)).max())
    slid = 2 * (sum(x.shape) + high + wide) * EPS64 * most
    rounding = float(np.finfo(wider).eps) * np.abs(exact.astype(np.float64))
    if x.dtype.kind == "f":
        _near(ours, exact, _average_bound(x, window) + slid + rounding)
        return
    _near(ours, exact, _average_bound(x, window) + rounding)
    rounded = numpool.avg_pool2d(x, *window, dtype=x.dtype)
    theirs = cv2.blur(x, **options)
    if "opencv-blur-rounding" in known:
        high_by = theirs.astype(int) - rounded
        assert ((high_by == 0) | (high_by == 1)).all()
    else:
        _same(rounded, theirs)


def test_blur(capsys):
    """Sliding averages with the padding counted, and rounded to the integer type."""
    rng = np.random.default_rng(8)
    tally = Tally("OpenCV blur")
    kernels = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (7, 7), (1, 9), (31, 31))
    for dtype, kernel, shape in itertools.product(CV_DTYPES, kernels, ((33, 47), (120, 64))):
        x = _plane(rng, shape, dtype)
        case = _case("OpenCV", "avg", x, kernel, (1, 1), function="blur")
        if dtype in (np.uint16, np.int16) and math.prod(kernel) > 900:
            continue  # its quotient is a product in float32, too coarse for sums of that size
        tally.check(case, _compare_blur)
    tally.finish(capsys, 76)


def _compare_area(case: Case, known) -> None:
    x, (high, wide) = case.x, case.kernel
    rows, columns = (n // k for n, k in zip(x.shape, case.kernel, strict=True))
    theirs = cv2.resize(x, (columns, rows), interpolation=cv2.INTER_AREA)
    window = (case.kernel,)
    ours = numpool.avg_pool2d(x, *window)
    taps = high * wide
    if x.dtype.kind == "f":
        # a running sum in the type itself, times a float32 of 1 / taps even for float64
        eps = taps * float(np.finfo(x.dtype).eps) + 2 * EPS32
        size = numpool.avg_pool2d(np.abs(x.astype(np.float64)), *window)
        _near(ours, theirs, _average_bound(x, window) + eps * size)
        return
    rounded = numpool.avg_pool2d(x, *window, dtype=x.dtype)
    tie = (ours % 1 == 0.5) & ("opencv-area-ties" in known)
    _same(rounded[~tie], theirs[~tie])
    assert (np.abs(rounded.astype(int) - theirs)[tie] <= 1).all()


def test_area(capsys):
    """Downsampling by whole factors: averages of blocks."""
    rng = np.random.default_rng(9)
    tally = Tally("OpenCV INTER_AREA")
    kernels = ((1, 1), (2, 2), (3, 3), (4, 4), (2, 4), (5, 3), (8, 8))
    for dtype, kernel in itertools.product(CV_DTYPES, kernels):
        x = _plane(rng, (6 * kernel[0], 7 * kernel[1]), dtype)
        case = _case("OpenCV", "avg", x, kernel, function="resize")
        tally.check(case, _compare_area)
    tally.finish(capsys, 35)


# --- every line of the table is real ------------------------------------------------------------


def _show_skimage_padding():
    x = np.array([[-5.0, -4.0, -3.0]])
    assert measure.block_reduce(x, (1, 2), np.max).tolist() == [[-4, 0]]
    assert numpool.max_pool2d(x, (1, 2), ceil_mode=True).tolist() == [[-4, -3]]


def _show_scipy_integers():
    x = np.array([2, 2, 7, 1])
    assert ndimage.uniform_filter(x, 3, mode="constant").tolist() == [1, 3, 3, 2]
    ours = numpool.avg_pool1d(x, 3, 1, 1)
    assert ours.tolist() == pytest.approx([4 / 3, 11 / 3, 10 / 3, 8 / 3])
    assert numpool.avg_pool1d(x, 3, 1, 1, dtype=np.int64).tolist() == [1, 4, 3, 3]


def _show_scipy_wide_integers():
    x = np.array([2**62 + 1, 0])
    assert ndimage.maximum_filter(x, 3)[0] == 2**62
    assert numpool.max_pool1d(x, 3, 1, 1)[0] == 2**62 + 1


def _show_scipy_running_sums():
    x = np.array([math.nan, 1.0, 1.0, 1.0, 1.0])
    theirs = ndimage.uniform_filter(x, 3, mode="nearest")
    assert np.isnan(theirs).all()
    assert np.isnan(numpool.avg_pool1d(x, 3, 1)).tolist() == [True, False, False]


def _show_opencv_ties():
    x = np.array([[0, 1, 1, 2], [0, 1, 1, 2]], np.uint8)  # halves: 0.5 and 1.5
    assert cv2.resize(x, (2, 1), interpolation=cv2.INTER_AREA).tolist() == [[1, 2]]
    assert numpool.avg_pool2d(x, 2, dtype=np.uint8).tolist() == [[0, 2]]


def _show_opencv_blur():
    x = np.zeros((8, 8), np.uint8)
    x[4, 4] = 1
    assert cv2.blur(x, (2, 2), borderType=cv2.BORDER_CONSTANT).max() == 1
    assert numpool.avg_pool2d(x, 2, 1, "same_lower", dtype=np.uint8).max() == 0


SHOWN = {
    "skimage-padding": _show_skimage_padding,
    "scipy-integer-average": _show_scipy_integers,
    "scipy-wide-integers": _show_scipy_wide_integers,
    "scipy-running-sums": _show_scipy_running_sums,
    "opencv-area-ties": _show_opencv_ties,
    "opencv-blur-rounding": _show_opencv_blur,
}
PEERS = ("scikit-image", "SciPy", "OpenCV")


@pytest.mark.parametrize("key", [d.key for d in DIFFERENCES if d.peer in PEERS])
def test_difference_is_real(key):
    """Both sides of each line, so that a line a peer outgrows is noticed."""
    SHOWN[key]()
