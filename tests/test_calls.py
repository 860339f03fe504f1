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


def test_calls_are_kept_whatever_the_identity_of_their_arguments():
    x = np.arange(64.0).reshape(8, 8)
    expected = x[1::2, 1::2]
    for number in (int, np.int64, np.uint8):
        for size in ((number(2), 2), (number(2), number(2)), number(2)):
            np.testing.assert_array_equal(numpool.max_pool2d(x, size), expected)


class Equal:
    """Equal to a number, and of no use as one."""

    def __eq__(self, other):
        return other == 2

    def __hash__(self):
        return hash(2)


@pytest.mark.parametrize("wrong", [Equal(), "2", None, {}, [2.0]])
def test_arguments_that_are_no_numbers_are_refused_after_a_call(wrong):
    x = np.arange(8.0)
    numpool.max_pool1d(x, 2)
    with pytest.raises(TypeError, match="kernel_size"):
        numpool.max_pool1d(x, wrong)


def test_arrays_that_differ_make_other_calls():
    x = np.arange(48, dtype=np.int64).reshape(6, 8)
    for array in (x, x.T.copy().T, x[::-1], x[:, ::-1], x.astype(np.int32), x.astype(">i8")):
        result = numpool.max_pool2d(array, 2)
        expected = array.reshape(3, 2, 4, 2).max(axis=(1, 3))
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == array.dtype.newbyteorder("=")
    for dtype in (np.longlong, np.int64):  # equal, and two types
        assert numpool.max_pool2d(x.astype(dtype), 2).dtype.num == np.dtype(dtype).num


def test_results_lie_in_memory_as_the_array_does():
    x = np.ones((4, 6, 8))
    for _ in range(2):
        assert numpool.max_pool1d(x, 2).flags.c_contiguous
        assert numpool.max_pool1d(np.asfortranarray(x), 2).flags.f_contiguous
        gradient = np.ones((4, 6, 4))
        assert numpool.avg_pool1d_backward(gradient, x, 2).flags.c_contiguous
        assert numpool.avg_pool1d_backward(gradient, np.asfortranarray(x), 2).flags.f_contiguous


def test_no_more_calls_are_kept_than_a_limit():
    from numpool import _calls

    for size in range(_calls._KEPT_CALLS + 20):
        assert numpool.max_pool1d(np.zeros(size + 2), 2).shape == (size // 2 + 1,)
    assert len(_calls._calls) == _calls._KEPT_CALLS


def read_only(array):
    array.flags.writeable = False
    return array


X, GRADIENT, INDICES = np.arange(8.0), np.arange(4.0), np.arange(1, 8, 2)
WITH_OUT = {
    "avg": lambda out: numpool.avg_pool1d(X, 2, out=out),
    "avg backward": lambda out: numpool.avg_pool1d_backward(GRADIENT, X, 2, out=out),
    "lp backward": lambda out: numpool.lp_pool1d_backward(GRADIENT, X, 2, out=out),
    "max backward": lambda out: numpool.max_pool1d_backward(GRADIENT, X, 2, out=out),
    "max backward from indices": lambda out: numpool.max_pool1d_backward(
        GRADIENT, X, 2, indices=INDICES, out=out
    ),
}


@pytest.mark.parametrize("name", WITH_OUT)
def test_every_out_is_checked_after_a_right_one(name):
    call = WITH_OUT[name]
    expected = call(None)
    shape = expected.shape
    for _ in range(2):
        right = [np.empty(shape), np.empty((*shape, 2))[:, 1], np.empty(shape)[::-1]]
        for out in right:
            assert call(out) is out
            np.testing.assert_array_equal(out, expected)
        wrong = [
            (TypeError, np.empty(shape, np.float32)),
            (TypeError, np.empty(shape, ">f8")),
            (TypeError, [0.0] * len(expected)),
            (TypeError, (np.empty(shape),)),
            (TypeError, [np.empty(shape)]),
            (TypeError, (np.empty(shape), np.empty(shape))),
            (TypeError, ()),
            (ValueError, np.empty((*shape, 1))),
            (ValueError, read_only(np.empty(shape))),
            (ValueError, np.lib.stride_tricks.as_strided(np.empty(1), shape, (0,))),
        ]
        for error, out in wrong:
            with pytest.raises(error, match="out"):
                call(out)


def overlapping(size, array, shape):
    """`array` at places in a memory of its own, and an array of `shape` at others: first apart,
    then such that what is written early is read late.
    """
    out_size, half = int(np.prod(shape)), array.size // 2
    for start, out_start in [(0, size - out_size), (0, half), (0, 4), (4, 0), (0, 0)]:
        memory = np.full(size, np.nan)
        source = memory[start : start + array.size].reshape(array.shape)
        source[:] = array
        yield source, memory[out_start : out_start + out_size].reshape(shape)


def test_an_out_that_overlaps_after_one_that_does_not():
    x = np.arange(80.0).reshape(10, 8)
    for source, out in overlapping(120, x, (10, 4)):
        numpool.avg_pool1d(source, 2, out=out)
        np.testing.assert_array_equal(out, x[:, ::2] + 0.5)
    gradient = np.arange(40.0).reshape(10, 4)
    for source, out in overlapping(120, gradient, x.shape):
        numpool.avg_pool1d_backward(source, x, 2, out=out)
        np.testing.assert_array_equal(out, np.repeat(gradient, 2, axis=1) / 2)
    y = numpool.lp_pool1d(x, 2)
    expected = numpool.lp_pool1d_backward(gradient, x, 2, y=y)
    for source, out in overlapping(120, y, x.shape):
        numpool.lp_pool1d_backward(gradient, x, 2, y=source, out=out)
        np.testing.assert_array_equal(out, expected)
    for source, out in overlapping(160, x, x.shape):
        numpool.lp_pool1d_backward(gradient, source, 2, y=y, out=out)
        np.testing.assert_array_equal(out, expected)


def test_an_out_that_overlaps_what_a_maximum_is_scattered_by():
    x, gradient = np.arange(80.0).reshape(10, 8), np.arange(40.0).reshape(10, 4) + 1
    places = numpool.max_pool1d(x, 2, return_indices=True)[1]
    expected = numpool.max_pool1d_backward(gradient, x, 2, indices=places)
    for source, out in overlapping(120, gradient, x.shape):
        numpool.max_pool1d_backward(source, x, 2, indices=places, out=out)
        np.testing.assert_array_equal(out, expected)
    for source, out in overlapping(120, gradient, x.shape):
        numpool.max_pool1d_backward(source, x, 2, out=out)
        np.testing.assert_array_equal(out, expected)
    for source, out in overlapping(160, x, x.shape):
        numpool.max_pool1d_backward(gradient, source, 2, out=out)
        np.testing.assert_array_equal(out, expected)
    expected = numpool.lp_pool1d_backward(gradient, -x, 2, p=np.inf)
    for source, out in overlapping(160, -x, x.shape):
        numpool.lp_pool1d_backward(gradient, source, 2, p=np.inf, out=out)
        np.testing.assert_array_equal(out, expected)
    expected = numpool.max_pool1d_backward(gradient, x, 2, indices=places)
    for source, out in overlapping(120, places.view(float), x.shape):
        numpool.max_pool1d_backward(gradient, x, 2, indices=source.view(np.int64), out=out)
        np.testing.assert_array_equal(out, expected)


def test_wrong_indices_leave_an_out_alone_after_right_ones():
    out = np.empty(8)
    numpool.max_pool1d_backward(GRADIENT, X, 2, indices=INDICES, out=out)
    for wrong in ([1, 3, 5, 3], [0, 2, 4, 8], [-2, 2, 4, 6]):
        out[:] = 7
        with pytest.raises(ValueError, match="indices"):
            numpool.max_pool1d_backward(GRADIENT, X, 2, indices=np.array(wrong), out=out)
        np.testing.assert_array_equal(out, np.full(8, 7.0))


def test_indices_of_another_out_after_a_pair():
    x = np.arange(8.0)
    for indices in (np.empty(4, np.int64), np.empty((4, 3), np.int64)[:, 1]):
        for _ in range(2):
            values = np.empty(4)
            numpool.max_pool1d(x, 2, return_indices=True, out=(values, indices))
            np.testing.assert_array_equal(values, x[1::2])
            np.testing.assert_array_equal(indices, [1, 3, 5, 7])
    values = np.empty(4)
    pair = values, np.empty(4, np.int64)
    for wrong in (values, (values, values.view(np.int64)), (values,), (pair,), (*pair, values), ()):
        with pytest.raises((TypeError, ValueError), match="out"):
            numpool.max_pool1d(x, 2, return_indices=True, out=wrong)


BACKWARD = {
    "avg": numpool.avg_pool1d_backward,
    "lp": numpool.lp_pool1d_backward,
    "lp with y": lambda g, x, k: numpool.lp_pool1d_backward(g, x, k, y=np.sqrt(x[::2] ** 2 * 2)),
    "lp inf": lambda g, x, k: numpool.lp_pool1d_backward(g, x, k, p=np.inf),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_backward_passes_are_checked_after_a_right_one(name):
    function = BACKWARD[name]
    x, gradient = np.repeat(np.arange(1.0, 5), 2), np.arange(4.0)
    expected = function(gradient, x, 2)
    for _ in range(2):
        for right in (gradient[::-1].copy()[::-1], gradient.astype(">f8"), gradient.tolist()):
            np.testing.assert_array_equal(function(right, x, 2), expected)
        for array in (gradient[:3], gradient[:, None]):
            with pytest.raises(ValueError, match="grad_output"):
                function(array, x, 2)
        for array in (gradient.astype(int), gradient.astype(complex), gradient.astype("g")):
            with pytest.raises(TypeError, match="grad_output"):
                function(array, x, 2)
        with pytest.raises(TypeError, match="x must have"):
            function(gradient, x.astype(int), 2)
        with pytest.raises(TypeError, match="kernel_size"):
            function(gradient, x, 2.0)


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
