"""Arrays large enough to be cut into tiles, bands, blocks and boxes, beside PyTorch.

The other tests draw small arrays, many of them; how work is cut shows in large ones only. Data are
small whole numbers, of which all sums are exact and ties are frequent.
"""

import os

import numpy as np
import pytest

import numpool

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    if os.environ.get("NUMPOOL_REQUIRE_TORCH") == "1":
        raise
    pytest.skip("PyTorch is missing", allow_module_level=True)

LARGEST = 10**6


def drawn(rng):
    """An array, channels first or last, its window axes, and arguments that PyTorch takes too."""
    rank = int(rng.choice([1, 2, 2, 3]))
    size = int(10 ** rng.uniform(3.5, np.log10(LARGEST)))
    lengths = [int(2 ** rng.uniform(1, 9)) for _ in range(rank)]
    while np.prod(lengths) > size:
        lengths = [max(n // 2, 2) for n in lengths]
    items = int(rng.choice([1, 2, 8]))
    channels = max(size // int(np.prod(lengths)) // items, 1)
    kernel = [int(min(rng.choice([1, 2, 2, 3, 3, 5, 7, 11, 20, 40]), n)) for n in lengths]
    stride = [int(rng.choice([1, 2, k, k, k + 1])) for k in kernel]
    padding = [int(rng.choice([0, 0, k // 2])) for k in kernel]
    dilation = [
        2 if rng.random() < 0.25 and 2 * k - 1 <= n + 2 * p else 1
        for k, n, p in zip(kernel, lengths, padding, strict=True)
    ]
    last = rng.random() < 0.5
    shape = (items, *lengths, channels) if last else (items, channels, *lengths)
    axes = tuple(range(1, rank + 1)) if last else tuple(range(-rank, 0))
    x = rng.integers(-20, 30, shape).astype(rng.choice([np.float32, np.float64]))
    window = {"kernel_size": tuple(kernel), "stride": tuple(stride), "padding": tuple(padding)}
    return x, axes, last, window, tuple(dilation)


@pytest.mark.parametrize("seed", range(150))
def test_against_torch(seed):
    rng = np.random.default_rng(seed)
    x, axes, last, window, dilation = drawn(rng)
    rank = len(axes)

    def theirs(array):
        tensor = torch.from_numpy(array)
        return tensor.permute(0, rank + 1, *range(1, rank + 1)) if last else tensor

    def ours(tensor):
        array = tensor.detach()
        return (array.permute(0, *range(2, rank + 2), 1) if last else array).numpy()

    leaf = theirs(x).clone().requires_grad_()
    max_pool, avg_pool = getattr(F, f"max_pool{rank}d"), getattr(F, f"avg_pool{rank}d")
    arguments = tuple(window.values())
    y, indices = max_pool(leaf, *arguments, dilation, return_indices=True)
    averages = avg_pool(leaf, *arguments)
    window["axis"] = axes
    dilated = {**window, "dilation": dilation}
    positions = ours(indices)
    np.testing.assert_array_equal(numpool.max_pool(x, **dilated), ours(y))
    values, found = numpool.max_pool(x, **dilated, return_indices=True)
    np.testing.assert_array_equal(values, ours(y))
    np.testing.assert_array_equal(found, positions)
    offsets = numpool.max_pool(x, **dilated, return_indices="offset")[1]
    g = rng.integers(-5, 6, values.shape).astype(x.dtype)
    expected = ours(torch.autograd.grad(y, leaf, theirs(g))[0])
    for given in (positions, offsets, None):
        result = numpool.max_pool_backward(g, x, **dilated, indices=given)
        np.testing.assert_array_equal(result, expected)

    close = {"rtol": 4 * np.finfo(x.dtype).eps, "atol": 0}
    np.testing.assert_allclose(numpool.avg_pool(x, **window), ours(averages), **close)
    g = rng.integers(-5, 6, ours(averages).shape).astype(x.dtype)
    ones = numpool.avg_pool_backward(g, x, **window, divisor_override=1)
    taps = int(np.prod(window["kernel_size"]))
    expected = ours(torch.autograd.grad(averages, leaf, theirs(g * x.dtype.type(taps)))[0])
    np.testing.assert_allclose(ones, expected, rtol=1e-5, atol=1e-3)
