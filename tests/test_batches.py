"""Batches of many axes, none of which continues another in memory: results are those of contiguous
copies.
"""

import numpy as np
import pytest

import numpool

# Shapes of images, their window axes, and windows: short and long rows, pixels and channels, planes
# that are taken whole, volumes and signals.
IMAGES = [
    ((5, 7), (-2, -1), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((6, 40), (-2, -1), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ((6, 70), (-2, -1), {"kernel_size": 2}),
    ((6, 70), (-2, -1), {"kernel_size": 3, "stride": 2}),
    ((7, 9), (-2, -1), {"kernel_size": (7, 9)}),
    ((6, 8, 3), (-3, -2), {"kernel_size": 2}),
    ((6, 8, 40), (-3, -2), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((4, 5, 40), (-3, -2, -1), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ((300,), (-1,), {"kernel_size": 5, "stride": 1}),
    ((40, 60), (-2, -1), {"kernel_size": 19, "stride": 1, "padding": 9}),
]


def apart(rng, shape, steps):
    """An array whose first axes have gaps between their elements: small integers, whose sums are
    exact.
    """
    wide = [n * step for n, step in zip(shape, steps, strict=False)]
    base = rng.integers(-9, 10, (*wide, *shape[len(steps) :])).astype(np.float32)
    return base[tuple(slice(None, None, step) for step in steps)]


@pytest.mark.parametrize(("image", "axis", "window"), IMAGES)
def test_batches_of_axes_apart(image, axis, window):
    rng = np.random.default_rng(0)
    window = {**window, "axis": axis}
    x = apart(rng, (2, 3, 2, 3, *image), (2, 3, 2, 2))
    copy = x.copy()
    outer = numpool.output_shape(x.shape, **window)
    g = apart(rng, outer, (3, 2, 3, 2))
    same = np.testing.assert_array_equal
    for indices in (True, "offset"):
        values, found = numpool.max_pool(copy, **window, return_indices=indices)
        same(numpool.max_pool(x, **window, return_indices=indices), (values, found))
        strided = np.repeat(found, 2, axis=1)[:, ::2]
        expected = numpool.max_pool_backward(g.copy(), copy, **window, indices=found)
        same(numpool.max_pool_backward(g, x, **window, indices=strided), expected)
        out = apart(rng, x.shape, (2, 2, 3, 4))
        numpool.max_pool_backward(g, x, **window, indices=strided, out=out)
        same(out, expected)
    same(numpool.max_pool(x, **window), values)
    same(numpool.max_pool_backward(g, x, **window), expected)
    for pool in ("avg", "lp"):
        forward = getattr(numpool, f"{pool}_pool")
        backward = getattr(numpool, f"{pool}_pool_backward")
        same(forward(x, **window), forward(copy, **window))
        same(backward(g, x, **window), backward(g.copy(), copy, **window))
    same(
        numpool.lp_pool_backward(g, x, **window, p=np.inf),
        numpool.lp_pool_backward(g.copy(), copy, **window, p=np.inf),
    )
