"""The scatter of gradients to given indices: every way of cutting it, against np.add.at."""

import itertools

import numpy as np
import pytest

from numpool import _calls, _scatter_plans, max_pool_backward, output_shape

# shape, window axes, kernel_size, stride, padding, dilation
SCATTERS = [
    # Small planes, many a line: windows tap by tap, by places, by positions, and one for
    # a whole plane.
    ((30, 28, 28), (1, 2), 3, 1, 1, 1),
    ((50, 7, 7), (1, 2), (3, 2), 1, (1, 0), 1),
    ((50, 14, 14), (1, 2), 3, 2, 0, 1),
    ((30, 40, 41), (1, 2), 3, 2, 1, 1),
    ((50, 7, 7), (1, 2), 7, 1, 0, 1),
    ((20, 6, 7, 8), (1, 2, 3), 3, 1, 1, 1),
    # Planes of many lines, cut into bands.
    ((300, 520), (0, 1), 3, 1, 1, 1),
    ((300, 520), (0, 1), 5, 1, 0, 1),
    ((300, 520), (0, 1), 2, 2, 0, 1),
    ((300, 520), (0, 1), 3, 2, 1, 1),
    ((300, 520), (0, 1), (2, 3), (1, 2), (1, 0), 1),
    ((300, 520), (0, 1), 7, 1, 3, 1),
    ((300, 520), (0, 1), (31, 45), (3, 7), 10, 1),
    ((300, 520), (0, 1), 3, 1, 2, 2),
    ((300, 520), (0, 1), 3, 1, (1, 4), (1, 4)),
    # Rows of many lines, cut into tiles.
    ((2, 70_000), (1,), 5, 1, 2, 1),
    ((2, 70_000), (1,), 160, 160, 0, 1),
    ((2, 70_000), (1,), 1000, 1, 0, 1),
    ((5, 70_000), (0, 1), 3, 1, 1, 1),
    ((5, 70_000), (0, 1), 2, 2, 0, 1),
    # Volumes.
    ((40, 50, 60), (0, 1, 2), 3, 1, 1, 1),
    ((40, 50, 60), (0, 1, 2), 3, 2, 1, 1),
    ((40, 50, 60), (0, 1, 2), 2, 2, 0, 1),
    ((30, 6, 3000), (0, 1, 2), 2, 1, 0, 1),
    # Channels, also more of them than a line holds.
    ((3, 28, 28, 60), (1, 2), 3, 1, 1, 1),
    ((3, 28, 28, 60), (1, 2), 3, 2, 1, 1),
    ((3, 28, 28, 3), (1, 2), 3, 1, 0, 1),
    ((9, 9, 5000), (0, 1), 3, 1, 1, 1),
    ((3, 140_001), (0,), 2, 1, 1, 1),
    ((9, 6, 1007), (0, 1), (7, 6), (7, 1), 3, 1),
    ((2, 13, 50, 101), (1, 2), 5, 2, 0, 1),
    ((30, 40, 37), (0, 1), (20, 3), 2, (0, 1), 1),
    ((6, 7, 8, 150), (0, 1, 2), 3, 2, 1, 1),
    ((3000, 60), (0,), 60, 60, 0, 1),
    # Windows longer than an axis, and far apart numbers.
    ((50, 5, 4), (1, 2), (9, 7), 1, 4, 1),
    ((50, 3), (1,), 10**9, 10**9, 10**9 - 1, 1),
    ((50, 3), (0, 1), 10**9, 10**9, 10**9 - 1, 1),
    ((40, 30), (0, 1), 2, 10**18, 0, 1),
]


def indices_of(shape, axes, kernel, stride, padding, dilation, seed=0):
    """For each output a tap that holds data, drawn at random: gradients, positions, offsets, and
    where in the input it is.
    """
    rng = np.random.default_rng(seed)
    kernel, stride, padding, dilation = (
        np.broadcast_to(v, len(axes)).tolist() for v in (kernel, stride, padding, dilation)
    )
    outputs = output_shape(shape, kernel, stride, padding, dilation, axis=axes)
    gradient = rng.integers(-50, 50, outputs).astype(np.float64)
    positions, offsets = np.zeros(outputs, np.int64), np.zeros(outputs, np.uint64)
    places = list(np.indices(outputs, sparse=True))
    for i, a in enumerate(axes):
        start = np.arange(outputs[a]) * stride[i] - padding[i]
        first = np.maximum(-(start // dilation[i]), 0)
        last = np.minimum((shape[a] - 1 - start) // dilation[i], kernel[i] - 1)
        assert (first <= last).all(), "every window must hold data"
        along = [1] * len(shape)
        along[a] = outputs[a]
        first, last, start = (v.reshape(along) for v in (first, last, start))
        tap = rng.integers(np.broadcast_to(first, outputs), last, endpoint=True)
        places[a] = start + tap * dilation[i]
        positions = positions * shape[a] + places[a]
        offsets = offsets * np.uint64(kernel[i]) + tap.astype(np.uint64)
    return gradient, positions, offsets, places


def scattered(shape, gradient, places):
    """Gradients added one by one, in the C order of their windows."""
    expected = np.zeros(shape, gradient.dtype)
    np.add.at(expected, tuple(np.broadcast_arrays(*places)), gradient)
    return expected


def far_apart(gradient, dtype):
    """Gradients whose sum tells in which order they were added."""
    return (gradient * 1.001**gradient).astype(dtype)


@pytest.fixture
def only_scatters(monkeypatch):
    """Gradients are scattered where they would be matched."""
    monkeypatch.setattr(_calls, "match_plan", lambda *_: None)
    _calls._calls.clear()
    yield
    _calls._calls.clear()


@pytest.mark.parametrize(("shape", "axis", "kernel", "stride", "padding", "dilation"), SCATTERS)
def test_against_add_at(shape, axis, kernel, stride, padding, dilation, only_scatters):
    window = (kernel, stride, padding, dilation)
    gradient, positions, offsets, places = indices_of(shape, axis, *window)
    for dtype in (np.float32, np.float64):
        x, g = np.zeros(shape, dtype), far_apart(gradient, dtype)
        expected = scattered(shape, g, places)
        for indices in (positions, offsets):
            result = max_pool_backward(g, x, *window, axis=axis, indices=indices)
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("shape", "axis", "kernel", "stride", "padding", "dilation"), SCATTERS[:24]
)
def test_strides_and_dtypes(shape, axis, kernel, stride, padding, dilation):
    window = (kernel, stride, padding, dilation)
    gradient, positions, offsets, places = indices_of(shape, axis, *window)
    # Gradients of 0 and 1 at most a few times a place: exact in float16.
    gradient = (gradient > 20).astype(np.float16)
    expected = np.minimum(scattered(shape, gradient.astype(float), places), 2048)
    x, out = np.zeros(shape, np.float16), np.zeros((*shape[:-1], 2 * shape[-1]), np.float16)
    spread = np.repeat(gradient.astype(np.float32), 2, axis=-1)[..., ::2]
    for indices in (
        positions.astype(np.int32),
        np.repeat(offsets, 2, axis=-1)[..., ::-2][..., ::-1],
    ):
        result = max_pool_backward(
            spread, x, *window, axis=axis, indices=indices, out=out[..., ::2]
        )
        np.testing.assert_array_equal(result, expected)
        assert not out[..., 1::2].any()
    order = np.asfortranarray(x)
    result = max_pool_backward(gradient, order, *window, axis=axis, indices=positions)
    np.testing.assert_array_equal(result, expected)


def taps_of(output, shape, axes, kernel, stride, padding, dilation):
    """The positions and offsets of a window's taps that hold data."""
    kernel, stride, padding, dilation = (
        np.broadcast_to(v, len(axes)).tolist() for v in (kernel, stride, padding, dilation)
    )
    found = {}
    for number, tap in enumerate(itertools.product(*map(range, kernel))):
        position = 0
        for i, a in enumerate(axes):
            place = output[a] * stride[i] - padding[i] + tap[i] * dilation[i]
            if not 0 <= place < shape[a]:
                break
            position = position * shape[a] + place
        else:
            found[number] = position
    return set(found.values()), set(found)


@pytest.mark.parametrize(
    ("shape", "axis", "kernel", "stride", "padding", "dilation"),
    [case for case in SCATTERS if np.prod(np.broadcast_to(case[2], len(case[1]))) < 1000],
)
def test_each_wrong_index_is_found(shape, axis, kernel, stride, padding, dilation):
    window = (kernel, stride, padding, dilation)
    gradient, positions, offsets, _ = indices_of(shape, axis, *window)
    x, out = np.zeros(shape, np.float32), np.full(shape, 7, np.float32)
    rng = np.random.default_rng(1)
    size = np.prod([shape[a] for a in axis])
    taps = np.prod(np.broadcast_to(kernel, len(axis)))
    # Beyond what float32 and int64 hold, and near the markers.
    low = [-(2**40), -(2**59), -(2**60), -(2**63), 2**63 - 1]
    high = [2**58, 2**63 - 1, 2**63, 2**64 - 2**60, 2**64 - 2]
    corners = [tuple(0 for _ in gradient.shape), tuple(n - 1 for n in gradient.shape)]
    drawn = [tuple(rng.integers(n) for n in gradient.shape) for _ in range(6)]
    for at in corners + drawn:
        good_positions, good_offsets = taps_of(at, shape, axis, *window)
        near = positions[at] + np.array([-1, 1, shape[axis[-1]], -shape[axis[-1]], size, -size])
        for good, indices, tried in (
            (
                good_positions,
                positions,
                [-2, size, 2**40, *low, *near, *rng.integers(size, size=3)],
            ),
            (
                good_offsets,
                offsets,
                [taps, 200, 2**40, *high, 0, taps - 1, *rng.integers(taps, size=3)],
            ),
        ):
            right = indices[at]
            for wrong in tried:
                marker = -1 if indices is positions else 2**64 - 1
                if int(wrong) in good or int(wrong) == marker:
                    continue
                indices[at] = wrong
                for given in ({}, {"out": out}):
                    with pytest.raises(ValueError, match=rf"indices.*got {wrong}$"):
                        max_pool_backward(gradient, x, *window, axis=axis, indices=indices, **given)
            indices[at] = right
    assert (out == 7).all()


def test_windows_of_more_taps_than_can_be_counted():
    x = np.arange(24.0).reshape(2, 3, 4)
    window = {"kernel_size": 10**9, "padding": 10**9 - 1, "stride": 10**9}
    expected = np.zeros(x.shape)
    expected[0, 0, 0] = 1
    # Each of eight windows: the first value along an axis, or all that follow.
    for d, h, w in itertools.product((0, 1), (0, 2), (0, 3)):
        expected[d, h, w] = 1
    result = max_pool_backward(np.ones((2, 2, 2)), x, **window)
    np.testing.assert_array_equal(result, expected)


def test_a_repeated_call_checks_its_indices():
    gradient, x = np.ones((50, 50)), np.zeros((100, 100))
    indices = np.zeros((50, 50), np.uint8)
    for _ in range(3):
        assert max_pool_backward(gradient, x, 2, indices=indices)[::2, ::2].all()
    indices[33, 17] = 4
    for _ in range(2):
        with pytest.raises(ValueError, match="got 4"):
            max_pool_backward(gradient, x, 2, indices=indices)


@pytest.mark.parametrize(("shape", "axes", "kernel", "stride", "padding", "dilation"), SCATTERS)
def test_what_is_summed_in_the_result_itself_is_one_piece(
    shape, axes, kernel, stride, padding, dilation, monkeypatch, only_scatters
):
    """Sums between pieces would be read and written back while other tasks add to them."""
    builders = []
    is_direct = _scatter_plans._Builder._is_direct
    monkeypatch.setattr(
        _scatter_plans._Builder, "_is_direct", lambda b: builders.append(b) or is_direct(b)
    )
    _scatter_plans.scatter_plan.cache_clear()
    _calls._calls.clear()
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "axis": axes}
    gradient, positions, _, _ = indices_of(shape, axes, kernel, stride, padding, dilation)
    x = np.zeros(shape, np.float32)
    gradient = gradient.astype(np.float32)
    max_pool_backward(gradient, x, kernel, **geometry, indices=positions)
    (builder,) = builders
    if builder.direct:
        sides = (builder.cut.group, *builder.cut.box, builder.cut.block_channels)
        lengths = [d.window.length for d in builder.dimensions]
        numbers = np.arange(np.prod(lengths)).reshape(lengths)[tuple(map(slice, sides))]
        assert numbers.max() - numbers.min() + 1 == numbers.size
