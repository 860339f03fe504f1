"""Arrays of GPU libraries as the engine sees them, and results as arrays of the same kind."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from numpool import _views
from numpool._cuda import device
from numpool._cuda.libraries import DeviceArray, layout_like, library_of, on_device

__all__ = [
    "DeviceArray",
    "as_array",
    "as_output",
    "copy",
    "empty_like",
    "flat",
    "on_device",
    "overlap",
    "scratch",
    "together",
]


def as_array(name: str, value: Any, kinds: str = _views.REAL) -> DeviceArray:
    """`value` as an array of one of the dtypes `kinds` in a GPU's memory."""
    device.cuda()
    if not on_device(value):
        raise TypeError(
            f"{name} must lie on the GPU as the other arrays do, got {type(value).__name__} in "
            "main memory; copy it there first"
        )
    if device.simulated() and not getattr(value, "__cuda_ndarray__", False):
        raise TypeError(
            f"{name} lies on a GPU, which the CUDA simulator that is on (NUMBA_ENABLE_CUDASIM) "
            "cannot read"
        )
    try:
        array = library_of(value).describe(name, value)
    except TypeError:
        raise
    except Exception as error:  # what a library says of an array that it cannot show
        raise TypeError(f"{name} cannot be viewed as a GPU array: {error}") from error
    if not _is_supported(array.dtype, kinds):
        allowed = f"dtype {_views.ALLOWED[kinds]}, in native byte order"
        raise TypeError(f"{name} must have {allowed}, got {getattr(value, 'dtype', array.dtype)}")
    if not _is_aligned(array.address % 8, array.shape, array.strides, array.itemsize):
        raise ValueError(
            f"{name} has elements that do not stand at multiples of their size in memory; "
            "copy it first"
        )
    return array


@functools.lru_cache(maxsize=1024)
def _is_supported(dtype: np.dtype, kinds: str) -> bool:
    return _views.is_supported(dtype, kinds) and dtype.isnative


@functools.lru_cache(maxsize=1024)
def _is_aligned(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> bool:
    steps = [stride for stride, n in zip(strides, shape, strict=True) if n > 1]
    return 0 in shape or not any(number % itemsize for number in (address, *steps))


def as_output(name: str, out: Any, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
    """`out` if a result of this shape and dtype can be written into it."""
    if not on_device(out):
        raise TypeError(f"{name} must be a GPU array of {dtype}, got {type(out).__name__}")
    array = as_array(name, out)
    _views.check_output(name, array, array.writeable, shape, dtype)
    return array


def together(**arrays: DeviceArray | None) -> None:
    """Refuse arrays that lie on several devices."""
    where = {name: array.device for name, array in arrays.items() if array is not None}
    if len(set(where.values())) > 1:
        listed = ", ".join(f"{name} on device {number}" for name, number in where.items())
        raise ValueError(f"all arrays of a call must lie on one GPU, got {listed}")


def empty_like(x: DeviceArray, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
    """A new array of x's kind, in x's memory order, on its device and stream."""
    layout = layout_like(x.strides, shape, dtype)
    owner, address = library_of(x.owner).empty(x, layout)
    return DeviceArray(owner, address, shape, layout.strides, dtype, True, x.device, x.stream)


def scratch(x: DeviceArray, count: int, dtype: np.dtype) -> DeviceArray:
    """New memory beside `x`, of the library that x is of."""
    return empty_like(x._replace(strides=(1,)), (count,), dtype)


def _span(a: DeviceArray) -> tuple[int, int]:
    """The first address that belongs to an array, and the number of bytes to its last."""
    steps = [s * (n - 1) for s, n in zip(a.strides, a.shape, strict=True)]
    before = sum(step for step in steps if step < 0)
    after = sum(step for step in steps if step > 0)
    return a.address + before, after - before + a.itemsize if a.size else 0


class _Memory:
    """Memory as NumPy or numba take it."""

    def __init__(self, owner: Any, **facts: Any) -> None:
        self.owner = owner
        self.facts = {"version": 3, **facts}

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self.facts


# As what kernels see elements that they do not compute with.
_STORED: dict[np.dtype, np.dtype] = {
    np.dtype(np.float16): np.dtype(np.uint16),
    np.dtype(np.bool_): np.dtype(np.uint8),
}


def flat(a: DeviceArray) -> tuple[Any, int]:
    """All memory that an array spans as a one-dimensional array for kernels, and the number of
    element 0 in it.
    """
    dtype = _STORED.get(a.dtype, a.dtype)
    first, count = _span(a)
    memory = _Memory(
        a.owner,
        shape=(count // a.itemsize,),
        strides=None,
        typestr=dtype.str,
        data=(first, False),
    )
    offset = (a.address - first) // a.itemsize
    if device.simulated():
        from numba.cuda.cudadrv.devicearray import FakeCUDAArray

        return FakeCUDAArray(np.asarray(memory)), offset
    return device.cuda().from_cuda_array_interface(memory.facts, owner=a.owner), offset


def copy(a: DeviceArray) -> DeviceArray:
    """The same in other memory: all that the array spans is copied, on its stream."""
    first, count = _span(a)
    new = scratch(a, count, np.dtype(np.uint8))
    if count:
        source = a._replace(
            address=first, shape=(count,), strides=(1,), dtype=new.dtype, stream=None
        )
        stream = device.stream(a.device, a.stream)
        with device.current(a.device):
            flat(new)[0].copy_to_device(flat(source)[0], stream=stream)
    return a._replace(owner=new.owner, address=new.address + a.address - first, writeable=True)


def overlap(a: DeviceArray, b: DeviceArray) -> bool:
    """Whether two arrays share memory; True also where finding out would take long."""
    (first, count), (other, length) = _span(a), _span(b)
    if first + count <= other or other + length <= first:
        return False
    return _views.overlap(_shadow(a), _shadow(b))


def _shadow(a: DeviceArray) -> np.ndarray:
    """An array of the same addresses, to be asked for its place and never read."""
    return np.asarray(
        _Memory(
            None,
            shape=a.shape,
            strides=a.strides,
            typestr=a.dtype.str,
            data=(a.address, False),
        )
    )
