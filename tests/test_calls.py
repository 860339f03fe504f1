"""What is kept of a call for the next one of its kind, and what makes two calls of one kind."""

import numpy as np
import pytest

import numpool


class Mutable:
    """An integer to NumPy, whose value may change."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


@pytest.mark.parametrize("wrong", [2.0, True, np.float64(2), np.True_])
def test_equal_arguments_of_another_type_are_refused_after_a_call(wrong):
    x = np.arange(8.0)
    for right in (1, 2):
        numpool.max_pool1d(x, right)
        numpool.max_pool2d(np.ones((4, 4)), (right, 2), padding=((0, right // 2), (0, 0)))
    with pytest.raises(TypeError, match="kernel_size"):
        numpool.max_pool1d(x, wrong)
    with pytest.raises(TypeError, match="kernel_size"):
        numpool.max_pool2d(np.ones((4, 4)), (wrong, 2))
    with pytest.raises(TypeError, match="padding"):
        numpool.max_pool2d(np.ones((4, 4)), (2, 2), padding=((0, wrong), (0, 0)))


def test_an_argument_that_changes_makes_another_call():
    x = np.arange(8.0)
    size = Mutable(2)
    assert numpool.max_pool1d(x, size).shape == (4,)
    size.value = 4
    assert numpool.max_pool1d(x, size).shape == (2,)
    axis = [0]
    y = np.ones((4, 6))
    assert numpool.max_pool(y, 2, axis=axis).shape == (2, 6)
    axis[0] = 1
    assert numpool.max_pool(y, 2, axis=axis).shape == (4, 3)


def test_an_unaligned_array_after_an_aligned_one():
    x = np.arange(64.0)
    unaligned = np.empty(8 * 64 + 1, np.uint8)[1:].view(np.float64)
    unaligned[:] = x[::-1]
    np.testing.assert_array_equal(numpool.max_pool1d(x, 4), x[3::4])
    np.testing.assert_array_equal(numpool.max_pool1d(unaligned, 4), x[::-1][::4])


def test_out_is_what_is_returned():
    x = np.arange(8.0)
    out = np.empty(4)
    assert numpool.max_pool1d(x, 2, out=out) is out
    pair = (out, np.empty(4, np.int64))
    assert numpool.max_pool1d(x, 2, return_indices=True, out=pair) is pair


def test_all_true_bytes_are_one():
    x = np.array([0, 255, 255, 0, 1, 2], np.uint8).view(np.bool_)
    np.testing.assert_array_equal(numpool.avg_pool1d(x, 2), [0.5, 0.5, 1])
    values, indices = numpool.max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(values.view(np.uint8), [1, 1, 1])
    np.testing.assert_array_equal(indices, [1, 2, 4])


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding"),
    [(300_000, 300_001, 1, "same"), (300_000, 3, 1, 300_000), (300_000, 1, 299_999, 0)],
)
def test_windows_beyond_the_data_cost_no_more_than_the_data(size, kernel_size, stride, padding):
    # Each of them took minutes or gigabytes while windows were not trimmed to the data: the suite's
    # limit of time is the assertion.
    x = np.zeros(size, np.float32)
    x[size // 2] = 1
    assert numpool.max_pool1d(x, kernel_size, stride, padding).max() == (stride == 1)
    gradient = np.ones(numpool.output_shape(x.shape, kernel_size, stride, padding), np.float32)
    total = numpool.avg_pool1d_backward(
        gradient, x, kernel_size, stride, padding, count_include_pad=False
    )
    windows_with_data = numpool.max_pool1d(np.ones_like(x), kernel_size, stride, padding) == 1
    assert total.sum(dtype=np.float64) == pytest.approx(windows_with_data.sum(), rel=1e-4)
