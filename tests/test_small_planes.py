"""Many small planes, which are walked as channels: each comes out as it does alone."""

import numpy as np
import pytest

import numpool
from numpool import _calls, _planes

# Shape, window axes, arguments: planes as batch axes leave them, of whole and of cut tiles, blocks
# that reach back, rows that stand apart.
PLANES = [
    ((16, 14, 14), (1, 2), {"kernel_size": 3, "stride": 2}),
    ((17, 28, 28), (1, 2), {"kernel_size": 4, "stride": 1, "padding": 1}),
    ((3, 65, 57, 57), (2, 3), {"kernel_size": 6, "stride": 3}),
    ((2, 3, 70, 7, 7), (3, 4), {"kernel_size": (7, 5)}),
    ((100, 5, 3), (1, 2), {"kernel_size": 2, "stride": 1}),
    ((99, 2, 24), (1, 2), {"kernel_size": (2, 5), "stride": (1, 4), "dilation": (1, 2)}),
    ((41, 4, 5, 6), (1, 2, 3), {"kernel_size": 2, "stride": 1, "padding": 1}),
    ((9, 20, 8), (0, 2), {"kernel_size": (3, 2), "stride": (2, 1)}),
    ((50, 2, 3), (1, 2), {"kernel_size": 9, "padding": (8, 6), "stride": 9}),
]
DTYPES = ["bool", "uint32", "float16", "float32", "int64"]


def cuts(array):
    """The array, also with columns and planes that stand apart, and backwards."""
    wide = np.repeat(np.repeat(array, 2, axis=0), 2, axis=-1)
    return [array, wide[::2, ..., ::2], array[::-1, ..., ::-1].copy()[::-1, ..., ::-1]]


def each_plane(function, axes, *arrays):
    """What `function` gives of each plane alone, in one array."""
    batch = [a for a in range(arrays[0].ndim) if a not in axes]
    moved = [np.moveaxis(a, batch, range(len(batch))) for a in arrays]
    shape = moved[0].shape[: len(batch)]
    planes = [function(*(a[index] for a in moved)) for index in np.ndindex(*shape)]
    whole = np.stack(planes).reshape(*shape, *planes[0].shape)
    return np.moveaxis(whole, range(len(batch)), batch)


def values(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.integers(-40, 40, shape).astype(dtype)
    return rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def same(found, expected):
    return found.dtype == expected.dtype and np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(("shape", "axes", "arguments"), PLANES)
def test_these_are_blocks_of_planes(shape, axes, arguments, monkeypatch):
    blocks = []
    block_of = _planes._block
    monkeypatch.setattr(_planes, "_block", lambda *a: blocks.append(block_of(*a)) or blocks[-1])
    x = values(shape, "int16")
    _calls._calls.clear()
    numpool.max_pool(x, axis=axes, **arguments)
    assert blocks[0] >= 16


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes", "arguments"), PLANES)
def test_forward(shape, axes, arguments, dtype):
    plane_axes = range(-len(axes), 0)
    for x in cuts(values(shape, dtype)):
        for name, options in (("max", {}), ("avg", {"count_include_pad": False})):
            pool = getattr(numpool, f"{name}_pool")

            def alone(plane, pool=pool, options=options):
                return pool(plane, axis=plane_axes, **arguments, **options)

            # Sums of small integers are exact, so that each order gives the same.
            found = pool(x, axis=axes, **arguments, **options)
            assert same(found, each_plane(alone, axes, x)), name


@pytest.mark.parametrize("indices", [True, "offset"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axes", "arguments"), PLANES)
def test_indices(shape, axes, arguments, dtype, indices):
    arguments = {**arguments, "return_indices": indices}
    plane_axes = range(-len(axes), 0)
    for x in cuts(values(shape, dtype)):
        found = numpool.max_pool(x, axis=axes, **arguments)
        for i in range(2):

            def alone(plane, i=i):
                return numpool.max_pool(plane, axis=plane_axes, **arguments)[i]

            assert same(found[i], each_plane(alone, axes, x)), i


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes", "arguments"), PLANES)
def test_backward(shape, axes, arguments, dtype):
    plane_axes = range(-len(axes), 0)
    x = values(shape, dtype)
    outputs = numpool.output_shape(shape, axis=axes, **arguments)
    for gradient in cuts(values(outputs, dtype, 1)):
        for name, options in (("avg", {"divisor_override": 4}), ("lp", {"p": 1})):
            backward = getattr(numpool, f"{name}_pool_backward")

            def alone(gradient, plane, backward=backward, options=options):
                return backward(gradient, plane, axis=plane_axes, **arguments, **options)

            found = backward(gradient, x, axis=axes, **arguments, **options)
            assert same(found, each_plane(alone, axes, gradient, x)), name


@pytest.mark.parametrize("shape", [(16_403, 7, 6), (130, 127, 4, 5)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_backward_of_so_many_that_blocks_are_larger(shape, dtype, monkeypatch):
    blocks = []
    block_of = _planes._block
    monkeypatch.setattr(_planes, "_block", lambda *a: blocks.append(block_of(*a)) or blocks[-1])
    arguments = {"kernel_size": 3, "stride": 2, "padding": 1}
    x = np.zeros(shape, dtype)
    gradient = values(numpool.output_shape(shape, axis=(-2, -1), **arguments), dtype)
    _calls._calls.clear()
    found = numpool.avg_pool2d_backward(gradient, x, divisor_override=4, **arguments)
    half = shape[0] // 2
    parts = [
        numpool.avg_pool2d_backward(gradient[rows], x[rows], divisor_override=4, **arguments)
        for rows in (slice(half), slice(half, None))
    ]
    assert blocks[0] > blocks[1]
    assert same(found, np.concatenate(parts))
