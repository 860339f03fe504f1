"""Arrays of GPU libraries: what is read of them, what is made like them, what is refused."""

import itertools

import fakes
import kinds
import numpy as np
import pytest

from numpool._cuda import arrays
from numpool._views import FLOATS, REAL

pytestmark = pytest.mark.usefixtures("simulator")

FLOAT32, UINT8 = np.dtype(np.float32), np.dtype(np.uint8)
X = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
LAYOUTS = {
    "C": X,
    "Fortran": np.asfortranarray(X),
    "channels last": np.moveaxis(np.ascontiguousarray(np.moveaxis(X, 1, -1)), -1, 1),
    "transposed": X.transpose(2, 0, 3, 1),
    "sliced": X[:, ::2, 1:, ::3],
    "broadcast": np.broadcast_to(X[:, :1], (2, 6, 4, 5)),
    "negative": X[::-1, :, ::-2],
}


def put_by(library, monkeypatch):
    """A function that makes arrays of a library of NumPy arrays."""
    if library == "torch":
        return fakes.torch_on_gpu(monkeypatch)
    if library == "cupy":
        return fakes.cupy_on_gpu(monkeypatch)
    return lambda *found: kinds.SIMULATOR.upload_all(found)


LIBRARIES = ("numba", "torch", "cupy")
# PyTorch has no negative strides.
PAIRS = [pair for pair in itertools.product(LIBRARIES, LAYOUTS) if pair != ("torch", "negative")]


@pytest.fixture(params=LIBRARIES)
def put(request, monkeypatch):
    return put_by(request.param, monkeypatch)


@pytest.fixture(params=PAIRS, ids="-".join)
def placed(request, monkeypatch):
    """A NumPy array, an array of a library in the same layout, and what numpool sees of that."""
    library, layout = request.param
    (value,) = put_by(library, monkeypatch)(LAYOUTS[layout])
    return LAYOUTS[layout], value, arrays.as_array("x", value)


def host(array):
    """A view of an array in the simulator, by nothing but its facts."""
    memory, offset = arrays.flat(array)
    memory = np.asarray(memory).view(array.dtype)
    start = offset * array.itemsize
    return np.ndarray(array.shape, array.dtype, memory, start, array.strides)


def test_every_layout_is_seen_as_it_lies(placed):
    given, value, array = placed
    assert array.owner is value
    assert (array.shape, array.strides, array.dtype) == (given.shape, given.strides, given.dtype)
    assert (array.size, array.ndim, array.device) == (given.size, given.ndim, 0)
    np.testing.assert_array_equal(host(array), given)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int64", "uint8", "uint16", "float16", "float64"]
)
def test_every_dtype_is_seen_as_it_is(put, dtype):
    given = X.astype(dtype)
    array = arrays.as_array("x", put(given)[0])
    assert array.dtype == given.dtype
    np.testing.assert_array_equal(host(array), given)
    stored = {"float16": "uint16", "bool": "uint8"}.get(dtype, dtype)
    assert np.asarray(arrays.flat(array)[0]).dtype == stored


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_results_have_the_kind_and_the_memory_order_that_numpy_would_give(placed, dtype):
    given, value, x = placed
    shape = (2, 7, 1, 3)
    new = arrays.empty_like(x, shape, np.dtype(dtype))
    expected = np.empty_like(given, dtype, "K", shape=shape)
    # Where an axis is one long, its stride says nothing.
    of_interest = [axis for axis, n in enumerate(shape) if n > 1]
    assert [new.strides[a] for a in of_interest] == [expected.strides[a] for a in of_interest]
    assert (new.shape, new.dtype, new.writeable) == (shape, expected.dtype, True)
    assert (new.device, new.stream) == (x.device, x.stream)
    assert arrays.library_of(new.owner) is arrays.library_of(value)
    host(new)[...] = 7
    assert new.address == arrays.library_of(value).describe("result", new.owner).address


def test_scratch_is_a_line(put):
    x = arrays.as_array("x", put(LAYOUTS["channels last"])[0])
    line = arrays.scratch(x, 100, np.dtype(np.float64))
    assert (line.shape, line.strides, line.dtype) == ((100,), (8,), np.float64)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty_arrays(put, shape):
    x = arrays.as_array("x", put(np.empty(shape, np.float32))[0])
    assert (x.shape, x.size) == (shape, 0)
    new = arrays.empty_like(x, shape, UINT8)
    assert new.shape == shape
    assert not arrays.overlap(x, new)
    assert arrays.copy(x).shape == shape
    assert arrays.as_output("out", x.owner, shape, FLOAT32).owner is x.owner


def test_copies_lie_elsewhere_in_the_same_layout(placed):
    given, _, x = placed
    copied = arrays.copy(x)
    assert copied.strides == x.strides
    assert not arrays.overlap(copied, x)
    host(x)[...] += 1
    np.testing.assert_array_equal(host(copied), given)


def test_overlap_is_that_of_numpy(put):
    memory = np.zeros(40, np.float32)
    views = [memory[:20], memory[20:], memory[5:25], memory[::2], memory[1::2], memory[:0]]
    found = [arrays.as_array("a", value) for value in put(*views)]
    for (a, x), (b, y) in itertools.product(zip(views, found, strict=True), repeat=2):
        assert arrays.overlap(x, y) == np.shares_memory(a, b)


def test_what_lies_in_main_memory_is_not_on_a_device(monkeypatch):
    fakes.cupy_on_gpu(monkeypatch)
    for value in [X, np.ma.array(X), X[0, 0].view(np.matrix), X.tolist(), 3, None, "x"]:
        assert not arrays.on_device(value)


def test_tensors_in_main_memory_are_not_on_a_device():
    torch = pytest.importorskip("torch")
    assert not arrays.on_device(torch.zeros(3))
    assert not arrays.on_device(torch.zeros(3, requires_grad=True))


def refused(error, match, value, dtypes=REAL):
    with pytest.raises(error, match=match):
        arrays.as_array("grad_output", value, dtypes)


def test_main_memory_among_gpu_arrays_is_refused_by_name():
    refused(TypeError, r"grad_output must lie on the GPU .* got ndarray in main memory", X)
    refused(TypeError, "grad_output must lie on the GPU .* got list", [1, 2])


def test_tensors_that_need_gradients_are_refused_with_what_to_do(monkeypatch):
    put = fakes.torch_on_gpu(monkeypatch)
    value = put(X)[0].requires_grad_()
    assert arrays.on_device(value)
    refused(TypeError, r"requires a gradient.* pass grad_output\.detach\(\)", value)
    arrays.as_array("x", value.detach())


def test_tensors_that_are_no_plain_arrays_are_refused(monkeypatch):
    torch = pytest.importorskip("torch")
    (value,) = fakes.torch_on_gpu(monkeypatch)(X[0, 0])
    refused(TypeError, "bfloat16", value.to(torch.bfloat16))
    refused(TypeError, r"grad_output\.resolve_neg\(\)", torch._neg_view(value))
    refused(TypeError, r"got torch\.complex64", value.to(torch.complex64))


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"typestr": ">f4"}, TypeError, "native byte order"),
        ({"typestr": "<c8"}, TypeError, "must have dtype"),
        ({"typestr": "<V2"}, TypeError, "must have dtype"),
        ({"mask": np.zeros(5, bool)}, TypeError, "masked array"),
        ({"strides": (6,)}, ValueError, "multiples of their size"),
    ],
)
def test_interfaces_that_cannot_be_served_are_refused(changes, error, match):
    refused(error, match, fakes.Interface(np.zeros(5, np.float32), **changes))


def test_unaligned_arrays_are_refused():
    memory = np.zeros(21, np.uint8)[1:].view(np.float32)
    refused(ValueError, "multiples of their size", fakes.Interface(memory))
    refused(ValueError, "copy it first", fakes.Interface(memory[::2]))


def test_dtypes_that_an_argument_does_not_have_are_refused(put):
    refused(TypeError, "must have dtype float16, float32 or float64", put(X.astype(int))[0], FLOATS)


def test_gpu_arrays_that_the_simulator_cannot_read_are_refused():
    class Elsewhere:
        __cuda_array_interface__ = {"shape": (3,), "typestr": "<f4", "data": (2**40, False)}  # noqa: RUF012

    assert arrays.on_device(Elsewhere())
    refused(TypeError, "simulator", Elsewhere())


def test_what_a_library_says_of_an_array_is_passed_on(monkeypatch):
    fakes.cupy_on_gpu(monkeypatch)

    class Gone(fakes.CupyArray):
        @property
        def shape(self):
            raise RuntimeError("the memory was freed")

        __cuda_array_interface__ = property(lambda self: {"shape": self.shape})

    refused(TypeError, "cannot be viewed as a GPU array: the memory was freed", Gone(X))


def test_outputs(put):
    (out,) = put(np.empty((2, 3), np.float32))
    assert arrays.as_output("out", out, (2, 3), FLOAT32).owner is out
    for shape, dtype, error in [((2, 3), UINT8, TypeError), ((3, 2), FLOAT32, ValueError)]:
        with pytest.raises(error, match="out must have"):
            arrays.as_output("out", out, shape, dtype)
    with pytest.raises(TypeError, match=r"out must be a GPU array of float32, got ndarray"):
        arrays.as_output("out", np.empty((2, 3), np.float32), (2, 3), FLOAT32)
    (twice,) = put(np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (2, 3), (4, 4)))
    with pytest.raises(ValueError, match=r"out\[1\] must not overlap itself"):
        arrays.as_output("out[1]", twice, (2, 3), FLOAT32)


def test_read_only_arrays_are_inputs_and_no_outputs():
    memory = np.zeros((2, 3), np.float32)
    memory.flags.writeable = False
    value = kinds.SIMULATOR.put(memory)
    assert not arrays.as_array("x", value).writeable
    with pytest.raises(ValueError, match="out must be writeable"):
        arrays.as_output("out", value, (2, 3), FLOAT32)


def test_current_streams_of_libraries(monkeypatch):
    (tensor,) = fakes.torch_on_gpu(monkeypatch, {0: 77})(X)
    assert arrays.as_array("x", tensor).stream == 77
    (tensor,) = fakes.torch_on_gpu(monkeypatch, {0: 0})(X)
    assert arrays.as_array("x", tensor).stream == 1  # the legacy default stream
    put = fakes.cupy_on_gpu(monkeypatch, {0: 55, 1: 66})
    assert arrays.as_array("x", put(X)[0]).stream == 55
    other = arrays.as_array("x", put(X, number=1)[0])
    assert (other.device, other.stream) == (1, 66)  # though device 0 is the current one
    new = arrays.empty_like(other, (3, 3, 1, 1), FLOAT32)
    assert (new.owner.device.id, new.device, new.stream) == (1, 1, 66)
    assert fakes.CupyDevice.current == 0


def test_arrays_on_several_devices_are_refused(monkeypatch):
    put = fakes.cupy_on_gpu(monkeypatch)
    here = arrays.as_array("x", put(X)[0])
    there = arrays.as_array("out", put(X, number=1)[0])
    arrays.together(x=here, grad_output=here, out=None)
    with pytest.raises(ValueError, match="x on device 0, out on device 1"):
        arrays.together(x=here, out=there)
