"""Averages of small integers as integers of the same type: exact, and halves to the even one."""

import numpy as np
import pytest

import numpool

# Up to 64 elements of 8 bits are averaged in integers, others in float32 or float64.
TAPS = [2, 3, 4, 5, 6, 7, 9, 12, 16, 25, 31, 33, 48, 63, 64, 65, 128, 255, 256, 257]


def sums_of(taps, limits):
    """All sums of so many elements; of 16 bits those at halves and one beside, and a sample."""
    lowest, highest = limits.min * taps, limits.max * taps
    if limits.bits == 8:
        return np.arange(lowest, highest + 1)
    halves = np.random.default_rng(taps).integers(2 * limits.min, 2 * limits.max, 5000) * taps // 2
    near = halves[:, np.newaxis] + np.arange(-2, 3)
    return np.clip([lowest, highest, *near.ravel()], lowest, highest)


@pytest.mark.parametrize("taps", TAPS)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_sum(dtype, taps):
    sums = sums_of(taps, np.iinfo(dtype))
    share, rest = np.divmod(sums, taps)
    x = share[:, np.newaxis] + (np.arange(taps) < rest[:, np.newaxis])
    result = numpool.avg_pool(x.astype(dtype).ravel(), taps, dtype=dtype)
    np.testing.assert_array_equal(result, np.rint(sums / taps).astype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 5), (8, 8), (2, 5)])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_divisors_of_windows_at_the_edges(dtype, kernel_size, count_include_pad):
    limits = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(limits.min, limits.max, (90, 100), endpoint=True)
    # Some elements lie far from the others, and many averages at halves.
    x[::2] = x[::2] % 2 + limits.max - 1
    padding = tuple(k // 2 for k in kernel_size)
    result = numpool.avg_pool(
        x.astype(dtype), kernel_size, 1, padding, count_include_pad=count_include_pad, dtype=dtype
    )
    wide = [(p, p) for p in padding]
    windows = [
        np.lib.stride_tricks.sliding_window_view(np.pad(values, wide), kernel_size).sum((2, 3))
        for values in (x, np.ones_like(x))
    ]
    sums, counts = windows
    counts = np.prod(kernel_size) if count_include_pad else counts
    np.testing.assert_array_equal(result, np.rint(sums / counts).astype(dtype))
