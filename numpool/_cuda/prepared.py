"""Launches with little left to do: of a kernel's arguments, only addresses change.

numba-cuda looks at each argument again at each launch, which takes a microsecond for every number
and some more for every array. Here that is done once, by numba-cuda itself; what it makes of the
arguments is kept as the bytes that the driver takes, and a launch writes addresses into them.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Sequence
from typing import Any

from numpool._cuda import device

logger = logging.getLogger("numpool")

# What numba-cuda makes of a one-dimensional array: owner (2), size, size of an element, address,
# length, stride.
_ARRAY, _ADDRESS = 7, 4
# CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE, CU_LAUNCH_PARAM_END
_POINTER, _SIZE, _END = 1, 2, 0


class Unknown(Exception):
    """Arguments, or a driver, of which it is not known how they are laid out."""


class Prepared:
    """A kernel, its grid and its arguments; of the first arrays among these, the addresses are
    those of a launch.
    """

    def __init__(
        self, kernel: Any, grid: int, block: int, number: int, arguments: Sequence[Any], arrays: int
    ) -> None:
        from cuda.bindings import driver

        self._driver = driver
        self._number = number
        with device.current(number):
            compiled = kernel.compile(tuple(kernel.typeof_pyval(a) for a in arguments))
            function = compiled._codelibrary.get_cufunc()
            values: list[Any] = []
            for kind, argument in zip(compiled.argument_types, arguments, strict=True):
                compiled._prepare_args(kind, argument, 0, [], values)
            self._function = driver.CUfunction(int(function.handle))
            content, offsets = packed(values)
            self._check(function, content, offsets)
        self._grid, self._block = grid, block
        self._buffer = ctypes.create_string_buffer(content, len(content))
        self._size = ctypes.c_size_t(len(content))
        address = ctypes.addressof(self._buffer)
        self._extra = (ctypes.c_void_p * 5)(
            _POINTER, address, _SIZE, ctypes.addressof(self._size), _END
        )
        self._addresses = [
            ctypes.c_uint64.from_buffer(self._buffer, offsets[_ARRAY * i + _ADDRESS])
            for i in range(arrays)
        ]
        self._lock = threading.Lock()

    def _check(self, function: Any, content: bytes, offsets: Sequence[int]) -> None:
        """Ask the driver where it expects arguments."""
        driver = self._driver
        kernel = driver.CUkernel(int(function.handle))
        ends = [*offsets[1:], len(content)]
        for i, (offset, end) in enumerate(zip(offsets, ends, strict=True)):
            status, there, size = driver.cuKernelGetParamInfo(kernel, i)
            if status != driver.CUresult.CUDA_SUCCESS or there != offset or there + size > end:
                raise Unknown(f"argument {i}: {status.name}, {size} bytes at {there}, not {offset}")

    def run(self, stream: int | None, addresses: Sequence[int]) -> None:
        """Launch the kernel with arrays at some addresses."""
        driver = self._driver
        status, number = driver.cuCtxGetDevice()
        if status != driver.CUresult.CUDA_SUCCESS or int(number) != self._number:
            with device.current(self._number):
                self._launch(stream, addresses)
        else:
            self._launch(stream, addresses)

    def _launch(self, stream: int | None, addresses: Sequence[int]) -> None:
        with self._lock:  # the driver copies the bytes during the call
            for slot, address in zip(self._addresses, addresses, strict=True):
                slot.value = address
            (status,) = self._driver.cuLaunchKernel(
                self._function, self._grid, 1, 1, self._block, 1, 1, 0, stream or 0, 0,
                ctypes.addressof(self._extra),
            )  # fmt: skip
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"a kernel could not be launched: {status.name}")


def packed(values: Sequence[Any]) -> tuple[bytes, list[int]]:
    """Arguments as the driver takes them, each at a multiple of its size, and where each begins."""
    content = bytearray()
    offsets = []
    for value in values:
        if isinstance(value, int):  # numbers of this kind have the size of addresses
            value = ctypes.c_uint64(value)
        size = ctypes.sizeof(value)
        content += bytes(-len(content) % size)
        offsets.append(len(content))
        content += bytes(value)
    return bytes(content), offsets


def prepare(
    kernel: Any, grid: int, block: int, number: int, arguments: Sequence[Any], arrays: int
) -> Prepared | None:
    """A launch with less to do, None where this version of numba-cuda or the driver is of another
    mind about arguments, or kernels are simulated.
    """
    if device.simulated():
        return None
    try:
        return Prepared(kernel, grid, block, number, arguments, arrays)
    except Exception as error:  # numba's own launch is always there
        logger.info("launches of %s are numba's own: %s", kernel, error)
        return None
