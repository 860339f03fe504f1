"""Public functions with arrays of PyTorch and CuPy, which lie in main memory and pass for others'
in the simulator: results are of the same library, and right; what cannot be served is refused.
"""

import math

import fakes
import numpy as np
import pytest

import numpool

pytestmark = pytest.mark.usefixtures("simulator")

X = np.random.default_rng(0).standard_normal((2, 3, 6, 5)).astype(np.float32)
WINDOW = {"kernel_size": 3, "stride": 2, "padding": 1}
Y = numpool.max_pool2d(X, **WINDOW)


class Library:
    """A library: arrays of it and NumPy arrays of those."""

    def __init__(self, name, put, kind, host):
        self.name, self.kind, self.host = name, kind, host
        self._put = put

    def put(self, array):
        return self._put(array)[0]


@pytest.fixture(params=["torch", "cupy"])
def library(request, monkeypatch):
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        put = fakes.torch_on_gpu(monkeypatch)
        return Library("torch", put, torch.Tensor, lambda a: a.numpy())
    put = fakes.cupy_on_gpu(monkeypatch)
    return Library("cupy", put, fakes.CupyArray, lambda a: a.memory)


FORWARD = [("max", {}), ("avg", {}), ("lp", {"p": 3.0}), ("lp", {"p": math.inf})]
FORWARD += [("avg", {"dtype": np.float64, "count_include_pad": False})]


@pytest.mark.parametrize(("operator", "options"), FORWARD)
def test_forward(library, operator, options):
    function = getattr(numpool, f"{operator}_pool2d")
    found = function(library.put(X), **WINDOW, **options)
    expected = function(X, **WINDOW, **options)
    assert isinstance(found, library.kind)
    assert library.host(found).dtype == expected.dtype
    np.testing.assert_allclose(library.host(found), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("indices", [True, "offset"])
def test_indices_there_and_back(library, indices):
    values, found = numpool.max_pool2d(library.put(X), **WINDOW, return_indices=indices)
    expected = numpool.max_pool2d(X, **WINDOW, return_indices=indices)
    for a, b in zip((values, found), expected, strict=True):
        assert isinstance(a, library.kind)
        np.testing.assert_array_equal(library.host(a), b)
        assert library.host(a).dtype == b.dtype
    back = numpool.max_pool2d_backward(
        library.put(Y), library.put(X), **WINDOW, indices=library.put(expected[1])
    )
    assert isinstance(back, library.kind)
    expected = numpool.max_pool2d_backward(Y, X, **WINDOW, indices=expected[1])
    np.testing.assert_allclose(library.host(back), expected, rtol=1e-6)


@pytest.mark.parametrize(("operator", "options"), FORWARD[:4])
def test_backward(library, operator, options):
    function = getattr(numpool, f"{operator}_pool2d_backward")
    found = function(library.put(Y), library.put(X), **WINDOW, **options)
    assert isinstance(found, library.kind)
    expected = function(Y, X, **WINDOW, **options)
    np.testing.assert_allclose(library.host(found), expected, rtol=1e-5, atol=1e-7)


def test_memory_order(library):
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(X, 1, -1)), -1, 1)
    found = numpool.avg_pool2d(library.put(last), 2)
    expected = numpool.avg_pool2d(last, 2)
    assert library.host(found).strides == expected.strides
    np.testing.assert_allclose(library.host(found), expected, rtol=1e-6)


def test_out(library):
    out = library.put(np.empty_like(Y))
    assert numpool.max_pool2d(library.put(X), **WINDOW, out=out) is out
    np.testing.assert_array_equal(library.host(out), Y)
    values, indices = (library.put(np.empty(Y.shape, t)) for t in (np.float32, np.int64))
    pair = (values, indices)
    found = numpool.max_pool2d(library.put(X), **WINDOW, return_indices=True, out=pair)
    assert found is pair
    np.testing.assert_array_equal(library.host(values), Y)


def test_out_may_be_the_input(library):
    x = library.put(X)
    assert numpool.max_pool2d(x, 3, 1, 1, out=x) is x
    np.testing.assert_array_equal(library.host(x), numpool.max_pool2d(X, 3, 1, 1))


@pytest.mark.parametrize("shape", [(0, 3, 6, 5), (2, 0, 6, 5)])
def test_empty_batches(library, shape):
    x = np.empty(shape, np.float32)
    found = numpool.max_pool2d(library.put(x), **WINDOW)
    assert isinstance(found, library.kind)
    assert tuple(found.shape) == numpool.max_pool2d(x, **WINDOW).shape
    back = numpool.avg_pool2d_backward(found_as(library, found), library.put(x), **WINDOW)
    assert tuple(back.shape) == shape


def found_as(library, result):
    """A result as an array that says that it lies on a GPU."""
    return library.put(library.host(result))


def test_main_memory_among_gpu_arrays_is_refused_by_name(library):
    x, grad = library.put(X), library.put(Y)
    indices = np.zeros(Y.shape, np.int64)
    calls = {
        "grad_output": lambda: numpool.max_pool2d_backward(Y, x, **WINDOW),
        "indices": lambda: numpool.max_pool2d_backward(grad, x, **WINDOW, indices=indices),
        "y": lambda: numpool.lp_pool2d_backward(grad, x, **WINDOW, y=Y),
        "out": lambda: numpool.max_pool2d(x, **WINDOW, out=np.empty_like(Y)),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=rf"^{name}\b"):
            call()


def test_gpu_arrays_among_main_memory_are_refused_by_name(library):
    x, grad = library.put(X), library.put(Y)
    calls = {
        "grad_output": lambda: numpool.max_pool2d_backward(grad, X, **WINDOW),
        "y": lambda: numpool.lp_pool2d_backward(Y, X, **WINDOW, y=grad),
        "out": lambda: numpool.max_pool2d(X, **WINDOW, out=grad),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=rf"^{name}\b"):
            call()
    np.testing.assert_array_equal(library.host(x), X)


def test_bad_arguments_are_refused_before_anything_is_written(library):
    x, out = library.put(X), library.put(np.full(Y.shape, 7, np.float32))
    for error, options in [
        (ValueError, {"kernel_size": 0}),
        (TypeError, {"kernel_size": 2.0}),
        (ValueError, {"kernel_size": 3, "stride": 3}),
        (np.exceptions.AxisError, {"kernel_size": 3, "axis": (0, 9)}),
    ]:
        with pytest.raises(error):
            numpool.max_pool2d(x, **options, out=out)
    assert (library.host(out) == 7).all()


def test_tensors_that_require_gradients_are_refused_with_what_to_do(monkeypatch):
    pytest.importorskip("torch")
    (x,) = fakes.torch_on_gpu(monkeypatch)(X)
    x.requires_grad_()
    with pytest.raises(TypeError, match=r"x\.detach\(\)"):
        numpool.max_pool2d(x, 2)
    assert numpool.max_pool2d(x.detach(), 2).shape == (2, 3, 3, 2)


def test_tensors_in_main_memory_are_pooled_there():
    torch = pytest.importorskip("torch")
    found = numpool.max_pool2d(torch.from_numpy(X), **WINDOW)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, Y)
