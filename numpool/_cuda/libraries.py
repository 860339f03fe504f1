"""Where GPU libraries differ: what their arrays say of themselves, and how new ones are made.

Libraries are known by what is loaded already: nobody has an array of one that is not.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numpool._cuda import device


class DeviceArray(NamedTuple):
    """An array in the memory of a GPU: the user's array, which keeps it alive, and the facts of it.

    `address` is that of element 0; strides count bytes. `stream` is a pointer, None for numba's
    default stream.
    """

    owner: Any
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    writeable: bool
    device: int
    stream: int | None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """The bytes of an element."""
        return self.dtype.itemsize


class Layout(NamedTuple):
    """How a new array lies in memory: its axes from the outermost to the innermost."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: tuple[int, ...]
    strides: tuple[int, ...]


def strides_of(shape: Sequence[int], order: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """The strides of a new array whose axes lie in memory in an order, outermost first."""
    strides = [0] * len(shape)
    step = itemsize
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


class Numba:
    """Numba's device arrays, and whatever else has `__cuda_array_interface__`: what is made for
    these is numba's.
    """

    @staticmethod
    def describe(name: str, value: Any) -> DeviceArray:
        """The facts of an array."""
        module = device.cuda()
        if device.simulated():
            return described(name, value, value.__array_interface__, 0)
        interface = value.__cuda_array_interface__
        memory = getattr(value, "gpu_data", None)
        if memory is not None:
            number = memory.context.device.id
        elif interface["data"][0]:
            number = _device_of(interface["data"][0])
        else:  # an empty array lies nowhere
            number = module.get_current_device().id
        return described(name, value, interface, number)

    @staticmethod
    def empty(x: DeviceArray, layout: Layout) -> tuple[Any, int]:
        """A new array beside `x`, and its address."""
        own = getattr(x.owner, "__cuda_ndarray__", False)
        stream = x.owner.stream if own else device.stream(x.device, x.stream)
        with device.current(x.device):
            new = device.cuda().device_array(
                layout.shape, dtype=layout.dtype, strides=layout.strides, stream=stream
            )
        if device.simulated():
            return new, new.__array_interface__["data"][0]
        return new, new.device_ctypes_pointer.value or 0


class CuPy:
    """CuPy's arrays: work goes to CuPy's current stream of their device."""

    @staticmethod
    def describe(name: str, value: Any) -> DeviceArray:
        """The facts of an array."""
        with value.device:  # the stream is that of the current device
            return described(name, value, value.__cuda_array_interface__, value.device.id)

    @staticmethod
    def empty(x: DeviceArray, layout: Layout) -> tuple[Any, int]:
        """A new array beside `x`, and its address."""
        order = layout.order
        with x.owner.device:
            new = sys.modules["cupy"].empty([layout.shape[axis] for axis in order], layout.dtype)
            new = new.transpose([order.index(axis) for axis in range(len(order))])
        return new, new.data.ptr


class Torch:
    """PyTorch's CUDA tensors: work goes to PyTorch's current stream of their device."""

    @staticmethod
    def describe(name: str, value: Any) -> DeviceArray:
        """The facts of a tensor, read from the tensor, which takes a third of the time that its
        `__cuda_array_interface__` takes, and knows of streams.
        """
        torch = sys.modules["torch"]
        if value.requires_grad:
            raise TypeError(
                f"{name} is a tensor that requires a gradient, which numpool does not follow; "
                f"pass {name}.detach()"
            )
        if value.layout != torch.strided:
            raise TypeError(f"{name} must be a dense tensor, got layout {value.layout}")
        if value.is_neg():
            raise TypeError(f"{name} is a view that is negated later; pass {name}.resolve_neg()")
        dtype = _numpy_type(value.dtype)
        if dtype is None:
            raise TypeError(f"{name} has dtype {value.dtype}, which NumPy does not have")
        return DeviceArray(
            value,
            value.data_ptr(),
            tuple(value.shape),
            tuple(stride * dtype.itemsize for stride in value.stride()),
            dtype,
            True,
            value.device.index,
            # PyTorch's default stream is 0, by which others may mean a default of their own.
            torch.cuda.current_stream(value.device).cuda_stream or 1,
        )

    @staticmethod
    def empty(x: DeviceArray, layout: Layout) -> tuple[Any, int]:
        """A new tensor beside `x`, and its address."""
        kind = _torch_type(layout.dtype)
        strides = [stride // layout.dtype.itemsize for stride in layout.strides]
        new = sys.modules["torch"].empty_strided(
            layout.shape, strides, dtype=kind, device=x.owner.device
        )
        return new, new.data_ptr()


@functools.lru_cache(maxsize=1024)
def layout_like(x_strides: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype) -> Layout:
    """The layout in the memory order of an array with some strides, as NumPy's order "K"."""
    order = sorted(range(len(shape)), key=lambda axis: (-abs(x_strides[axis]), axis))
    return Layout(shape, dtype, tuple(order), strides_of(shape, order, dtype.itemsize))


@functools.lru_cache(maxsize=256)
def _library(kind: type) -> Any:
    """The library whose arrays are of a type."""
    # Modules that another thread is importing lack their types yet.
    if issubclass(kind, getattr(sys.modules.get("torch"), "Tensor", ())):
        return Torch
    if issubclass(kind, getattr(sys.modules.get("cupy"), "ndarray", ())):
        return CuPy
    return Numba


def library_of(value: Any) -> Any:
    """The library of an array."""
    kind: Any = type(value)
    return _library(kind)


def on_device(value: Any) -> bool:
    """Whether something is an array in the memory of a GPU."""
    kind: Any = type(value)
    if kind is np.ndarray:
        return False
    if _library(kind) is Torch:
        return value.is_cuda
    # Numba's simulator has the first of these only.
    return (
        getattr(value, "__cuda_ndarray__", None) is True
        or getattr(value, "__cuda_array_interface__", None) is not None
    )


def described(name: str, value: Any, interface: dict[str, Any], number: int) -> DeviceArray:
    """The facts that an array interface tells."""
    if interface.get("mask") is not None:
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first")
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    strides = interface.get("strides")
    if strides is None:
        strides = strides_of(shape, range(len(shape)), dtype.itemsize)
    address, read_only = interface["data"]
    stream = interface.get("stream") or None  # by the protocol it is never 0
    return DeviceArray(
        value, address or 0, shape, tuple(strides), dtype, not read_only, number, stream
    )


@functools.cache
def _torch_type(dtype: np.dtype) -> Any:
    """PyTorch's dtype of the name that one of NumPy's has."""
    kind = getattr(sys.modules["torch"], dtype.name, None)
    if kind is None:
        raise TypeError(f"this version of PyTorch has no {dtype}, which the result is of")
    return kind


@functools.cache
def _numpy_type(dtype: Any) -> np.dtype | None:
    """NumPy's dtype of the name that one of PyTorch's has."""
    try:
        return np.dtype(str(dtype).removeprefix("torch."))
    except TypeError:
        return None


def _device_of(address: int) -> int:
    from cuda.bindings import driver

    attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    status, number = driver.cuPointerGetAttribute(attribute, address)
    if status != driver.CUresult.CUDA_SUCCESS:
        raise TypeError(f"address {address:#x} is not one of a GPU's memory: {status.name}")
    return int(number)
