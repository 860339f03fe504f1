"""Kernels and their launches: on the device and the stream of the arrays, in order with other
streams.
"""

from __future__ import annotations

import contextlib
import functools
import sys
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


@contextlib.contextmanager
def beside_captures() -> Iterator[None]:
    """Let this thread take memory, copy to it and load kernels at once, which the capture of a CUDA
    graph forbids. Launches stay in the graph.
    """
    # Loaded by numba-cuda, of which not every version stands on it.
    driver = None if SIMULATED else sys.modules.get("cuda.bindings.driver")
    if driver is None:
        yield
        return
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    _, mode = driver.cuThreadExchangeStreamCaptureMode(mode)
    try:
        yield
    finally:
        driver.cuThreadExchangeStreamCaptureMode(mode)


def table(values: np.ndarray, number: int) -> Any:
    """Values in the memory of a device, ready for kernels on any stream."""
    module = device.cuda()
    with device.current(number):
        uploaded = module.device_array(values.shape, values.dtype)
        # The default stream may have to wait for streams that are captured.
        stream = module.stream()
        uploaded.copy_to_device(values, stream=stream)
        stream.synchronize()
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
