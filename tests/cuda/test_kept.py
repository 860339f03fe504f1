"""Calls of a kind that was made before: the same results, from launches alone."""

import math

import fakes
import kinds
import numpy as np
import pytest

import numpool

pytestmark = pytest.mark.usefixtures("simulator")

WINDOW = {"kernel_size": 3, "stride": 2, "padding": 1}
RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ones(*shape):
    """Norms."""
    return 1 + RNG.random(shape, np.float32)


def pair(indices):
    """Arrays of a backward pass of max."""
    x = random(2, 3, 6, 5)
    y, found = numpool.max_pool2d(x, **WINDOW, return_indices=indices)
    return y, x, found


CALLS = {
    "max": (lambda: (random(2, 3, 6, 5),), {}),
    "max with indices": (lambda: (random(2, 3, 6, 5),), {"return_indices": True}),
    "max with offsets": (lambda: (random(2, 3, 6, 5),), {"return_indices": "offset"}),
    "avg": (lambda: (random(2, 3, 6, 5),), {"count_include_pad": False}),
    "lp": (lambda: (random(2, 3, 6, 5),), {"p": math.inf}),
    "max backward": (lambda: pair(True), {}),
    "avg backward": (lambda: (random(2, 3, 3, 3), random(2, 3, 6, 5)), {}),
    "lp backward": (lambda: (random(2, 3, 3, 3), random(2, 3, 6, 5), ones(2, 3, 3, 3)), {}),
    "max backward from x": (lambda: (random(2, 3, 3, 3), random(2, 3, 6, 5)), {}),
    "max backward axis by axis": (
        lambda: (random(2, 4, 3), random(2, 12, 11)),
        {"kernel_size": 9, "stride": 1, "padding": 0},
    ),
    "lp backward from x": (lambda: (random(2, 3, 3, 3), random(2, 3, 6, 5)), {"p": 3}),
    "avg of integers": (lambda: (np.arange(180, dtype=np.int16).reshape(2, 3, 6, 5),), {}),
    "max offsets of 16 bits": (
        lambda: (random(2, 30, 30),),
        {"kernel_size": 17, "padding": 0, "return_indices": "offset"},
    ),
}


def call(name, arrays, options):
    """A call of a function by name."""
    operator, *backward = name.split(" ")
    options = {**WINDOW, **options}
    if backward[:1] == ["backward"]:
        function = getattr(numpool, f"{operator}_pool2d_backward")
        if len(arrays) > 2:
            options = {**options, "indices" if operator == "max" else "y": arrays[2]}
        return function(*arrays[:2], **options)
    return getattr(numpool, f"{operator}_pool2d")(*arrays, **options)


def values(result):
    return [np.asarray(a) for a in (result if isinstance(result, tuple) else (result,))]


@pytest.fixture
def no_way(monkeypatch):
    """Whether calls may go the whole way; a function that ends that."""
    from numpool._cuda import steps

    def close():
        def refuse(*_):
            raise AssertionError("the whole way was taken again")

        monkeypatch.setattr(steps, "run", refuse)

    return close


@pytest.mark.parametrize("name", CALLS)
def test_the_second_call_launches_and_no_more(name, no_way):
    make, options = CALLS[name]
    for again in (False, True):
        arrays = make()
        if again:
            no_way()
        found = call(name, [kinds.SIMULATOR.put(a) for a in arrays], options)
        expected = call(name, arrays, options)
        for a, b in zip(values(found), values(expected), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CALLS)
def test_the_second_call_writes_into_its_out(name, no_way):
    make, options = CALLS[name]
    for again in (False, True):
        arrays = make()
        expected = values(call(name, arrays, options))
        out = tuple(kinds.SIMULATOR.put(np.empty_like(a)) for a in expected)
        out = out if len(out) > 1 else out[0]
        there = [kinds.SIMULATOR.put(a) for a in arrays]
        if again:
            no_way()
        assert call(name, there, {**options, "out": out}) is out
        for a, b in zip(values(out), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_an_out_that_overlaps_is_no_second_call():
    memory = random(12)
    for place in (slice(6, 12), slice(3, 9)):
        x, out = kinds.SIMULATOR.upload_all([memory[:6], memory[place]])
        numpool.max_pool1d(x, 3, 1, 1, out=out)
        expected = numpool.max_pool1d(memory[:6], 3, 1, 1)
        np.testing.assert_array_equal(np.asarray(out), expected)


def test_an_out_that_became_read_only_is_refused():
    x = kinds.SIMULATOR.put(random(6))
    out = np.empty(6, np.float32)
    numpool.max_pool1d(x, 3, 1, 1, out=kinds.SIMULATOR.put(out))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        numpool.max_pool1d(x, 3, 1, 1, out=kinds.SIMULATOR.put(out))


def test_the_second_call_gives_arrays_of_its_library(monkeypatch, no_way):
    x = random(2, 3, 6, 5)
    expected = numpool.max_pool2d(x, **WINDOW)
    puts = [fakes.cupy_on_gpu(monkeypatch), lambda a: [kinds.SIMULATOR.put(a)]]
    firsts = [type(numpool.max_pool2d(put(x)[0], **WINDOW)) for put in puts]
    no_way()
    for put, first in zip(puts, firsts, strict=True):
        found = numpool.max_pool2d(put(x)[0], **WINDOW)
        assert type(found) is first
        np.testing.assert_array_equal(np.asarray(getattr(found, "memory", found)), expected)


def test_another_layout_is_another_kind(no_way):
    x = random(4, 4)
    numpool.max_pool2d(kinds.SIMULATOR.put(x), 2)
    turned = kinds.SIMULATOR.put(x.T)
    np.testing.assert_array_equal(numpool.max_pool2d(turned, 2), numpool.max_pool2d(x.T, 2))
    no_way()
    found = numpool.max_pool2d(turned, 2)
    assert found.strides == numpool.max_pool2d(x.T, 2).strides
    np.testing.assert_array_equal(found, numpool.max_pool2d(x.T, 2))


def test_arguments_that_are_equal_and_of_another_type_are_refused():
    x = kinds.SIMULATOR.put(random(4, 4))
    numpool.max_pool2d(x, 2)
    for wrong in (2.0, True):
        with pytest.raises(TypeError, match="kernel_size"):
            numpool.max_pool2d(x, wrong)
    numpool.max_pool2d(x, 1)
    with pytest.raises(TypeError, match="kernel_size"):
        numpool.max_pool2d(x, True)


def test_one_array_in_two_places():
    x = random(4, 4)
    there = kinds.SIMULATOR.put(x)
    other = random(4, 4)
    for _ in range(2):
        found = numpool.avg_pool2d_backward(there, there, 1)
        np.testing.assert_array_equal(np.asarray(found), x)
        found = numpool.avg_pool2d_backward(kinds.SIMULATOR.put(other), there, 1)
        np.testing.assert_array_equal(np.asarray(found), other)


def test_calls_that_need_memory_of_their_own_are_right_each_time():
    for _ in range(2):
        x, grad = random(2, 6, 5), random(2, 3, 3)
        there, above = kinds.SIMULATOR.put(x), kinds.SIMULATOR.put(grad)
        for function in (numpool.max_pool2d_backward, numpool.lp_pool2d_backward):
            found, expected = function(above, there, **WINDOW), function(grad, x, **WINDOW)
            np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)
        half = kinds.SIMULATOR.put(grad.astype(np.float16))
        found = numpool.avg_pool2d_backward(half, there, **WINDOW)
        expected = numpool.avg_pool2d_backward(grad.astype(np.float16), x, **WINDOW)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


def test_nothing_to_do_is_kept_too():
    x = kinds.SIMULATOR.put(np.empty((0, 4, 4), np.float32))
    for _ in range(2):
        assert numpool.max_pool2d(x, 2).shape == (0, 2, 2)
