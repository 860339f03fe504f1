"""Kernels and their launches: on the device and the stream of the arrays, in order with other
streams.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from numpool._cuda import device
from numpool._cuda.libraries import DeviceArray

SIMULATED = device.simulated()

Size = int | tuple[int, ...]

# Warning filters belong to the process.
_configuring = threading.Lock()


def kernel(name: str, function: Callable) -> Any:
    """A function as a kernel, compiled for the types of arguments that it is launched with, and
    kept on disk. `name` holds all that it depends on besides the package's sources.
    """
    if SIMULATED:
        return device.cuda().jit(function)
    from numpool._cuda.cache import KernelCache

    # Without link-time optimisation: the code that runs is the PTX that is tested.
    compiled = device.cuda().jit(function, lto=False)
    compiled._cache = KernelCache(name)
    return compiled


def table(values: np.ndarray, number: int) -> Any:
    """Values in the memory of a device, ready for kernels on any stream."""
    module = device.cuda()
    with device.current(number):
        uploaded = module.to_device(values)
        # The copy has left the host, and only its own stream would wait for its arrival.
        module.default_stream().synchronize()
        return uploaded


def run(
    kernel: Any, grid: Size, block: Size, number: int, stream: int | None, arguments: Sequence[Any]
) -> None:
    """Launch a kernel on a stream of a device."""
    with device.current(number):
        if SIMULATED:  # whose kernels hold one configuration, the last
            kernel[grid, block](*arguments)
        else:
            _configured(kernel, grid, block, device.stream(number, stream))(*arguments)


@functools.lru_cache(maxsize=1024)
def _configured(kernel: Any, grid: Size, block: Size, stream: Any) -> Any:
    """A kernel that is ready to launch, without numba's warning that small arrays keep a GPU
    idle.
    """
    with _configuring, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grid size")
        return kernel[grid, block, stream]


@contextlib.contextmanager
def joined(x: DeviceArray, *others: DeviceArray | None) -> Iterator[None]:
    """Around all launches of a call on x's stream: they come after what the streams of the other
    arrays hold by now, and before what these get later.
    """
    pointers = {other.stream for other in others if other is not None} - {x.stream}
    if not pointers or SIMULATED:
        yield
        return
    ours = device.stream(x.device, x.stream)
    theirs = [device.stream(x.device, pointer) for pointer in pointers]
    with device.current(x.device):
        for stream in theirs:
            _wait(ours, stream)
        try:
            yield
        finally:
            for stream in theirs:
                _wait(stream, ours)


def _wait(later: Any, earlier: Any) -> None:
    """Let a stream wait for what another holds by now."""
    event = device.cuda().event(timing=False)
    event.record(earlier)
    event.wait(later)
