"""float16 in kernels: every pattern of its bits, with the CPU's conversions and without."""

import numpy as np
import pytest

import numpool

PATTERNS = np.arange(2**16, dtype=np.uint16).view(np.float16)


def test_every_half_as_float32():
    result = numpool.avg_pool1d(PATTERNS, 1, dtype=np.float32)
    np.testing.assert_array_equal(result, PATTERNS.astype(np.float32))


def around_ties(dtype):
    """Halves, what lies halfway between two, and their neighbours in a wider dtype."""
    halves = PATTERNS[:0x7C00].astype(dtype)
    ties = np.append((halves[:-1] + halves[1:]) / 2, dtype(65520))
    values = np.concatenate(
        [halves, ties, np.nextafter(ties, dtype(0)), np.nextafter(ties, np.inf)]
    )
    return np.concatenate([values, -values, [dtype(np.nan), dtype(np.inf), -dtype(np.inf)]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_to_half(dtype):
    values = around_ties(dtype)
    with np.errstate(over="ignore"):
        # A sum of taps starts with 0.0: of -0.0 alone it is that.
        expected = (values + dtype(0)).astype(np.float16)
    result = numpool.avg_pool1d(values, 1, dtype=np.float16)
    np.testing.assert_array_equal(result, expected)
    assert (np.signbit(result) == np.signbit(expected))[~np.isnan(expected)].all()


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_norms_of_every_magnitude(p):
    """Of two taps: powers of halves are in the range of what they are added in."""
    x = PATTERNS[np.isfinite(PATTERNS)]
    taps = np.abs(np.stack([x[:-1], x[1:]]).astype(float))
    scale = taps.max(0)
    with np.errstate(over="ignore", invalid="ignore"):
        ratios = np.where(scale > 0, taps / scale, 0)
        expected = scale * (1 if p == np.inf else (ratios**p).sum(0) ** (1 / p))
        expected = expected.astype(np.float16)
    found = numpool.lp_pool1d(x, 2, 1, p=p)
    finite = np.isfinite(expected)
    assert (np.isfinite(found) == finite).all()
    unit = np.spacing(np.minimum(expected[finite], np.float16(65472)))
    assert (np.abs(found[finite] - expected[finite]) <= unit).all()


def test_maxima_of_every_pair():
    """Of patterns from everywhere: all exponents, both signs, zeros, infinities, NaN."""
    some = np.concatenate([PATTERNS[::61], PATTERNS[[0, 0x8000, 0x7C00, 0xFC00, 0x7E00, 0xFE01]]])
    pairs = np.stack(np.broadcast_arrays(some[:, None], some), axis=-1)
    wide = pairs.astype(np.float32)
    expected = np.maximum(wide[..., 0], wide[..., 1])
    # NaN comes first, then what is larger, then what comes first.
    second = (wide[..., 1] > wide[..., 0]) | np.isnan(wide[..., 1])
    at = np.where(second & ~np.isnan(wide[..., 0]), 1, 0)
    np.testing.assert_array_equal(numpool.max_pool1d(pairs, 2)[..., 0], expected)
    result, offsets = numpool.max_pool1d(pairs, 2, return_indices="offset")
    np.testing.assert_array_equal(result[..., 0], expected)
    np.testing.assert_array_equal(offsets[..., 0], at)
    # The same along an axis before a long one, whose taps are compared as they lie in memory.
    across = np.moveaxis(pairs, -1, 0)
    result, offsets = numpool.max_pool(across, 2, axis=0, return_indices="offset")
    np.testing.assert_array_equal(result[0], expected)
    np.testing.assert_array_equal(offsets[0], at)
    np.testing.assert_array_equal(numpool.max_pool(across, 2, axis=0)[0], expected)


@pytest.mark.slow
def test_without_conversions_of_the_cpu(tmp_path):
    from cli_runner import process

    program = """
import numpy as np, numpool
from numpool._cpu import target

assert not target.has_conversions()
x = np.arange(2**16, dtype=np.uint16).view(np.float16)
np.testing.assert_array_equal(numpool.avg_pool1d(x, 1, dtype=np.float32), x.astype(np.float32))
x = x[np.isfinite(x)].astype(np.float32)
halves = x.astype(np.float16)
np.testing.assert_array_equal(numpool.avg_pool1d(x, 1, dtype=np.float16), halves)
pairs = x[:-1].astype(float), x[1:].astype(float)
np.testing.assert_array_equal(
    numpool.avg_pool1d(halves, 2, 1), (sum(pairs) / 2).astype(np.float16)
)
with np.errstate(over="ignore"):
    norms = np.hypot(*pairs).astype(np.float16)
np.testing.assert_allclose(numpool.lp_pool1d(halves, 2, 1), norms, rtol=1e-3)
"""
    environment = {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    }
    done = process("-c", program, program=(), env=environment)
    assert (done.returncode, done.stderr) == (0, "")
