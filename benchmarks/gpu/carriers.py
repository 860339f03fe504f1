"""GPU arrays of each library, made from NumPy arrays of any memory layout, and read back."""

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Block(NamedTuple):
    """The bytes that arrays span, and where each starts in them."""

    memory: np.ndarray
    offsets: list[int]


def block_of(arrays: Sequence[np.ndarray]) -> Block:
    """The bytes from the first element of some arrays to the last, copied, and aligned as they
    were.
    """
    bounds = [bounds_of(a) for a in arrays]
    low = min(low for low, _ in bounds)
    count = max(high for _, high in bounds) - low
    # Of a length that can be seen as elements of any size.
    before = low % 16
    memory = np.zeros(((before + count) // 16 + 1) * 16, np.uint8)
    ctypes.memmove(memory.ctypes.data + before, low, count)
    return Block(memory, [a.__array_interface__["data"][0] - low + before for a in arrays])


def bounds_of(a: np.ndarray) -> tuple[int, int]:
    """The address of the first byte of an array, and that behind the last."""
    low = high = a.__array_interface__["data"][0]
    if a.size:
        steps = [stride * (n - 1) for stride, n in zip(a.strides, a.shape, strict=True)]
        low += sum(step for step in steps if step < 0)
        high += sum(step for step in steps if step > 0) + a.itemsize
    return low, high


def _of_numba(arrays: Sequence[np.ndarray]) -> list[Any]:
    from numba import cuda

    memory, offsets = block_of(arrays)
    block = cuda.to_device(memory)
    first = block.__cuda_array_interface__["data"][0]
    found = []
    for a, offset in zip(arrays, offsets, strict=True):
        interface = {
            "shape": a.shape,
            "strides": a.strides,
            "typestr": a.dtype.str,
            "data": (first + offset if a.size else 0, False),
            "version": 3,
        }
        found.append(cuda.from_cuda_array_interface(interface, owner=block))
    return found


def _from_numba(array: Any) -> np.ndarray:
    """All memory that an array spans is copied, since numba copies no others."""
    from numba import cuda

    facts = array.__cuda_array_interface__
    strides = array.strides
    low = sum(s * (n - 1) for s, n in zip(strides, array.shape, strict=True) if s < 0)
    high = sum(s * (n - 1) for s, n in zip(strides, array.shape, strict=True) if s > 0)
    if array.size == 0:
        return np.empty(array.shape, array.dtype)
    span = {
        "shape": (high - low + array.dtype.itemsize,),
        "strides": None,
        "typestr": "|u1",
        "data": (facts["data"][0] + low, False),
        "version": 3,
    }
    memory = cuda.from_cuda_array_interface(span, owner=array).copy_to_host()
    return np.ndarray(array.shape, array.dtype, memory, -low, strides)


def _of_cupy(arrays: Sequence[np.ndarray]) -> list[Any]:
    import cupy

    memory, offsets = block_of(arrays)
    block = cupy.asarray(memory)
    return [
        cupy.ndarray(a.shape, a.dtype, memptr=block.data + offset, strides=a.strides)
        for a, offset in zip(arrays, offsets, strict=True)
    ]


def tensors(arrays: Sequence[np.ndarray], place: str) -> list[Any]:
    """Tensors of the memory layouts of some arrays."""
    import torch

    memory, offsets = block_of(arrays)
    block = torch.from_numpy(memory).to(place)
    found = []
    for a, offset in zip(arrays, offsets, strict=True):
        dtype = getattr(torch, a.dtype.name)
        strides = [stride // a.itemsize for stride in a.strides]
        found.append(block.view(dtype).as_strided(a.shape, strides, offset // a.itemsize))
    return found


def _torch_runs() -> bool:
    import torch

    return torch.cuda.is_available()


class Carrier(NamedTuple):
    """A library's GPU arrays.

    `upload_all` gives arrays of the layouts of NumPy ones, which share memory where those do;
    `download` a NumPy array of the same values. `reverses`: strides may be negative.
    """

    name: str
    upload_all: Callable[[Sequence[np.ndarray]], list[Any]]
    download: Callable[[Any], np.ndarray]
    reverses: bool = True
    runs: Callable[[], bool] = lambda: True

    def carries(self, a: np.ndarray) -> bool:
        """Whether the library has arrays of this layout."""
        return a.dtype.isnative and (self.reverses or all(stride >= 0 for stride in a.strides))

    def upload(self, a: np.ndarray) -> Any:
        """One array."""
        return self.upload_all([a])[0]

    @property
    def installed(self) -> bool:
        """Whether the library is here, built for GPUs."""
        return importlib.util.find_spec(self.name) is not None and self.runs()


TORCH = Carrier(
    "torch",
    lambda arrays: tensors(arrays, "cuda"),
    lambda tensor: tensor.cpu().numpy(),
    reverses=False,
    runs=_torch_runs,
)
CUPY = Carrier("cupy", _of_cupy, lambda array: array.get())
NUMBA = Carrier("numba", _of_numba, _from_numba)
