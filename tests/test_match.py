"""The backward pass of max where windows overlap: each input takes what names it, and indices are
checked by how many do.
"""

import numpy as np
import pytest
from test_scatter import far_apart, indices_of, scattered

from numpool import _calls, max_pool, max_pool_backward

# shape, window axes, kernel_size, stride, padding, dilation
MATCHED = [
    ((9, 48), (0, 1), 3, 1, 1, 1),
    ((3, 7, 61), (1, 2), 3, 1, 1, 1),
    ((3, 7, 67), (1, 2), (2, 5), 1, (1, 2), 1),
    ((40, 300), (0, 1), 4, 1, 2, 1),
    ((40, 300), (0, 1), (5, 3), 1, (4, 2), (3, 2)),
    ((3, 700), (1,), 27, 1, 13, 1),
    ((2, 6, 7, 50), (1, 2, 3), 3, 1, 1, 1),
    # Long rows, cut into tiles.
    ((1, 20011), (1,), 5, 1, 2, 1),
    ((3, 3, 17000), (1, 2), (2, 3), 1, (1, 2), (1, 2)),
    # Channels, with any stride.
    ((2, 9, 11, 130), (1, 2), 3, 1, 1, 1),
    ((2, 9, 11, 130), (1, 2), 3, 2, 1, 1),
    ((2, 19, 11, 129), (1, 2), (5, 3), (3, 2), (2, 1), 1),
    ((2, 9, 11, 131), (1, 2), 2, 1, 1, 3),
    ((300, 200), (0,), 5, 2, 2, 1),
    # Windows that start two columns apart, also with inputs that belong to none.
    ((3, 19, 131), (1, 2), 2, 2, 0, 1),
    ((3, 19, 133), (1, 2), 3, 2, 1, 1),
    ((3, 19, 132), (1, 2), (3, 2), 2, (0, 1), 1),
    ((3, 20, 300), (1, 2), (2, 1), (3, 2), 0, 1),
    ((7, 5, 10001), (2,), 3, 2, 1, 1),
    # Volumes, cut along depth.
    ((40, 50, 60), (0, 1, 2), 3, 1, 1, 1),
    ((2, 40, 50, 91), (1, 2, 3), (3, 2, 3), 2, (1, 0, 1), 1),
    ((30, 4, 5, 100), (1, 2, 3), 2, (1, 2, 2), 0, 1),
    # Windows that reach far.
    ((150, 60), (0, 1), 3, 1, (30, 1), (60, 1)),
    ((3, 9001), (1,), 3, 1, 2000, 2000),
]


@pytest.fixture
def plans(monkeypatch):
    """The plans that are run."""
    run, noted = _calls._run, []
    monkeypatch.setattr(_calls, "_run", lambda plan, *rest: noted.append(plan) or run(plan, *rest))
    _calls._calls.clear()
    return noted


def indices_as(positions, offsets):
    """Indices of several dtypes."""
    return positions, positions.astype(np.int32), offsets.astype(np.uint8), offsets


@pytest.mark.parametrize(("shape", "axis", "kernel", "stride", "padding", "dilation"), MATCHED)
def test_against_add_at(shape, axis, kernel, stride, padding, dilation, plans):
    window = (kernel, stride, padding, dilation)
    gradient, positions, offsets, places = indices_of(shape, axis, *window)
    for dtype in (np.float32, np.float64):
        for order in "CF" if len(shape) > 2 else "C":
            x = np.zeros(shape, dtype, order)
            # In another order of memory, other windows may come first.
            values = far_apart(gradient, dtype) if order == "C" else gradient.astype(dtype)
            expected = scattered(shape, values, places)
            for indices in indices_as(positions, offsets):
                g, i = (np.asarray(a, order=order) for a in (values, indices))
                plans.clear()
                result = max_pool_backward(g, x, *window, axis=axis, indices=i)
                np.testing.assert_array_equal(result, expected)
                assert order == "F" or [bool(plan.matches) for plan in plans] == [True]
        # Rows apart, upside down, and into every second image.
        expected = scattered(shape, gradient, places)
        wide = [np.repeat(a[..., ::-1, :], 2, axis=-2) for a in (gradient.astype(dtype), positions)]
        out = np.full((2 * shape[0], *shape[1:]), 7, dtype)
        g, i = (a[..., ::-2, :] for a in wide)
        max_pool_backward(g, x, *window, axis=axis, indices=i, out=out[::2])
        np.testing.assert_array_equal(out[::2], expected)
        assert (out[1::2] == 7).all()


@pytest.mark.parametrize("special", [np.nan, np.inf, -0.0])
def test_gradients_stay_with_their_own(special):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 70)).astype(np.float32)
    _, positions = max_pool(x, 3, 1, 1, return_indices=True)
    gradient = np.ones(x.shape, np.float32)
    gradient[4, 5] = special
    result = max_pool_backward(gradient, x, 3, 1, 1, indices=positions)
    counts = np.bincount(positions.reshape(-1), minlength=x.size).reshape(x.shape).astype(float)
    at = np.unravel_index(positions[4, 5], x.shape)
    counts[at] += special - 1
    np.testing.assert_array_equal(result, counts)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_windows_without_data_may_be_marked(kind, plans):
    """By whoever gives indices: gradients are scattered then."""
    x = np.random.default_rng(0).normal(size=(30, 70)).astype(np.float32)
    gradient = np.arange(30.0 * 70, dtype=np.float32).reshape(30, 70)
    kinds = {np.int64: True, np.uint8: "offset"}
    _, indices = max_pool(x, 3, 1, 1, return_indices=kinds[kind])
    full = max_pool_backward(gradient, x, 3, 1, 1, indices=indices)
    indices[7, 8] = np.array(-1).astype(kind)
    plans.clear()
    found = max_pool_backward(gradient, x, 3, 1, 1, indices=indices)
    assert [bool(plan.matches) for plan in plans] == [True, False]
    lost = np.argwhere(full != found)
    assert len(lost) == 1
    np.testing.assert_allclose((full - found)[tuple(lost[0])], gradient[7, 8])


def test_a_window_at_the_end_of_a_row_names_nothing_of_the_next():
    x = np.random.default_rng(0).normal(size=(9, 61))
    _, positions = max_pool(x, 3, 1, 1, return_indices=True)
    for end, wrong in ((60, [(4, 0), (5, 0), (6, 1)]), (0, [(3, 60), (4, 59), (5, 60)])):
        for row, column in wrong:
            indices = positions.copy()
            indices[4, end] = row * 61 + column
            with pytest.raises(ValueError, match=f"got {row * 61 + column}"):
                max_pool_backward(x, x, 3, 1, 1, indices=indices)


def test_an_index_that_only_looks_right_when_cut():
    """-128 as a byte is position 128 modulo 256."""
    x = np.zeros((6, 60), np.float32)
    indices = np.arange(360).reshape(6, 60)
    assert max_pool_backward(x + 1, x, 3, 1, 1, indices=indices.astype(np.int16)).all()
    with pytest.raises(ValueError, match="got -128"):
        max_pool_backward(x, x, 3, 1, 1, indices=indices.astype(np.int8))


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("added", [2**32, -(2**32), 2**31, 3 * 2**61])
def test_an_index_whose_lower_bits_are_right(kind, dtype, added):
    """It is matched by codes of fewer bits."""
    x = np.random.default_rng(0).normal(size=(9, 60)).astype(dtype)
    _, indices = max_pool(x, 3, 1, 1, return_indices=True if kind is np.int64 else "offset")
    indices = indices.astype(kind)
    indices[4, 7] += kind(added % 2**64) if kind is np.uint64 else added
    with pytest.raises(ValueError, match="indices must be"):
        max_pool_backward(x, x, 3, 1, 1, indices=indices)
